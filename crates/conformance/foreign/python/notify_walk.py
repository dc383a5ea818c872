"""Notifications of a real server, to servers that other people wrote: everybody is told of exactly the jobs that were asked
for, also what happened while they, or the server, were down.

The program is ICEFIELD_BIN; the server is started here, because it is stopped and started again in between."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import boto3
from botocore.config import Config

from notify_servers import MOTO_REGION, MailServer, Moto, WebHook, certificate, free_port

KEY, SECRET = "AKIDEXAMPLEEXAMPLE12", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class Icefield:
    """`icefield serve` over a folder, always at the same port."""

    def __init__(self, folder, settings):
        self.store, self.port = folder / "store", free_port()
        base = {"HOME": str(folder), "PATH": os.environ.get("PATH", "")}
        self.environment = {**base, **{"ICEFIELD_" + name.upper(): value for name, value in settings.items()}}
        self.environment.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")
        self.environment.update(ICEFIELD_DATA=str(self.store))
        self.environment.update(ICEFIELD_ROOT_ACCESS_KEY_ID=KEY, ICEFIELD_ROOT_SECRET_ACCESS_KEY=SECRET)
        self.environment.update(SSL_CERT_FILE=str(folder / "hook.pem"))
        self.up()

    def up(self):
        command = [os.environ["ICEFIELD_BIN"], "serve", "--listen", "127.0.0.1:%d" % self.port]
        command += ["--metrics-listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.told = {}
        while "region" not in self.told:
            line = self.process.stdout.readline()
            if not line:
                sys.exit("FAILED the server has not started: %s" % self.told)
            name, value = line.split(": ", 1)
            self.told[name] = value.strip()

    def down(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def run(self, *arguments):
        command = [os.environ["ICEFIELD_BIN"], *arguments]
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit("FAILED icefield %s: %d" % (" ".join(arguments), done.returncode))
        return done.stdout


def main(folder):
    paths = certificate(folder)
    mail, moto = MailServer(paths), Moto()
    hook, of_vault = WebHook(paths), WebHook(paths)
    server = Icefield(
        folder,
        {
            "inventory_interval": "0s",
            "notify_first_retry": "200ms",
            "notify_attempts": "100",
            "smtp_url": mail.url,
            "smtp_from": "icefield@example.com",
        },
    )
    try:
        walk(server, hook, of_vault, mail, moto)
    finally:
        server.process.kill()


def walk(server, hook, of_vault, mail, moto):
    os.environ.update(ICEFIELD_ENDPOINT=server.told["endpoint"], ICEFIELD_ACCOUNT=server.told["account"])
    os.environ.update(AWS_DEFAULT_REGION=server.told["region"])
    # It reads the environment when it is imported.
    from checks import bytes_of, check, equal, wait_until

    def topic(name):
        return "arn:aws:sns:%s:%s:%s" % (server.told["region"], server.told["account"], name)

    for name, to in [
        ("done", [hook.url]),
        ("done", ["mailto:ann@example.org"]),
        ("done", [moto.topic, "--at", moto.url]),
        ("done", [moto.direct, "--sqs", MOTO_REGION, "--at", moto.url]),
        ("vault", [of_vault.url]),
    ]:
        server.run("topic", "add", name, *to)
    wait_until(
        "web hooks agree", lambda: "not yet" not in server.run("topic", "list", "--output", "table")
    )
    check("web hooks were asked and have agreed", hook.messages == [] and hook.wrong == [], hook.wrong)

    glacier = boto3.client(
        "glacier",
        endpoint_url=server.told["endpoint"],
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name=server.told["region"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    glacier.create_vault(vaultName="photos")
    archive = glacier.upload_archive(vaultName="photos", body=bytes_of(1000, "notify"))["archiveId"]
    configuration = {"SNSTopic": topic("vault"), "Events": ["ArchiveRetrievalCompleted"]}
    glacier.set_vault_notifications(vaultName="photos", vaultNotificationConfig=configuration)

    def job(kind, told=None):
        parameters = {"Type": kind, "Tier": "Standard"}
        if kind == "archive-retrieval":
            parameters["ArchiveId"] = archive
        if told:
            parameters["SNSTopic"] = topic(told)
        return glacier.initiate_job(vaultName="photos", jobParameters=parameters)["jobId"]

    def ended(*jobs):
        return all(glacier.describe_job(vaultName="photos", jobId=each)["Completed"] for each in jobs)

    def told(done, vault):
        """Waits until all have come, and checks that nothing else has."""
        places = {
            "the web hook": (hook.jobs, done),
            "the mail server": (mail.jobs, done),
            "the queue": (lambda: moto.jobs(moto.direct), done),
            "the queue that a topic of SNS feeds": (lambda: moto.jobs(moto.fed), done),
            "the web hook of the vault": (of_vault.jobs, vault),
        }
        for place, (found, expected) in places.items():
            wait_until("%s is told" % place, lambda: found() >= expected)
            equal("%s is told of exactly the jobs asked for" % place, found(), expected)

    first, second = job("archive-retrieval", "done"), job("archive-retrieval")
    third, fourth = job("inventory-retrieval", "done"), job("inventory-retrieval")
    done, vault = {first, third}, {first, second}
    told(done, vault)

    for each in (hook, of_vault, mail, moto):
        each.down()
    down = [job("archive-retrieval", "done"), job("inventory-retrieval", "done"), job("inventory-retrieval")]
    wait_until("jobs end while nobody can be told", lambda: ended(*down, fourth))
    equal("the server ends when asked", server.down(), 0)
    server.up()
    # It tries, and has to try again.
    wait_until("the server is back", lambda: ended(*down))
    for each in (hook, of_vault, mail, moto):
        each.up()
    done |= set(down[:2])
    vault.add(down[0])
    told(done, vault)
    last = job("archive-retrieval", "done")
    # What comes after it shows that nothing else was on its way.
    told(done | {last}, vault | {last})

    equal("nothing wrong was sent to a web hook", hook.wrong + of_vault.wrong, [])
    equal("a message has one ID, however often it comes", len(hook.message_ids()), len(hook.jobs()))
    recipients, message = mail.mail[0]
    equal("mail goes to the mailbox alone", recipients, ["ann@example.org"])
    subjects = {str(each["subject"]) for _, each in mail.mail}
    expected = {"icefield: %s Succeeded in vault photos" % kind for kind in ("ArchiveRetrieval", "InventoryRetrieval")}
    equal("the subject says what has ended where", subjects, expected)
    equal("mail is from whom the settings say", str(message["from"]), "icefield@example.com")
    envelope = moto.messages(moto.direct)[0]
    names = {"Type", "MessageId", "TopicArn", "Message", "Timestamp", "UnsubscribeURL"}
    check("a queue gets the envelope of SNS", names <= set(envelope), envelope)
    equal("the server ends when asked", server.down(), 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(pathlib.Path(name))
