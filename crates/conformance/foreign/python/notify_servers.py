"""Where notifications go in these tests: a web hook over HTTPS, a mail server, SNS and SQS by moto, each of which can be
taken down and brought up again at the same port."""

import base64
import datetime
import email
import email.policy
import http.server
import ipaddress
import json
import socket
import ssl
import threading
import urllib.request

import boto3
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from moto.server import ThreadedMotoServer

MOTO_REGION = "eu-west-1"
MOTO_KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": MOTO_REGION}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def certificate(folder):
    """Writes a certificate for 127.0.0.1 that is its own issuer, and returns the paths of it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web hook")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    written = builder.sign(key, hashes.SHA256())
    paths = folder / "hook.pem", folder / "hook.key"
    paths[0].write_bytes(written.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def signed_text(message):
    """What the signature of a message is over."""
    names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    return "".join("%s\n%s\n" % (name, message[name]) for name in names if name in message)


def verify(message):
    """Verifies the signature as a receiver does: with the certificate that the message names. Raises if it is wrong."""
    with urllib.request.urlopen(message["SigningCertURL"]) as answer:
        found = x509.load_pem_x509_certificate(answer.read())
    signature = base64.b64decode(message["Signature"])
    text = signed_text(message).encode()
    found.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())


class WebHook:
    """Agrees when it is asked, and keeps what it is told. A message whose signature is wrong is an error of the test."""

    def __init__(self, paths):
        self.paths, self.port = paths, free_port()
        self.messages, self.wrong = [], []
        self.url = "https://127.0.0.1:%d/hook" % self.port
        self.up()

    def up(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    hook.take(self.headers, json.loads(body))
                except Exception as error:  # whatever it is, the test tells it
                    hook.wrong.append("%r: %r" % (error, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.paths)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        self.server.shutdown()
        self.server.server_close()

    def take(self, headers, message):
        verify(message)
        if headers["x-amz-sns-message-type"] != message["Type"]:
            raise ValueError("the header says %s" % headers["x-amz-sns-message-type"])
        if message["Type"] == "SubscriptionConfirmation":
            urllib.request.urlopen(message["SubscribeURL"]).read()
        else:
            self.messages.append(message)

    def jobs(self):
        return {json.loads(message["Message"])["JobId"] for message in self.messages}

    def message_ids(self):
        return {message["MessageId"] for message in self.messages}


class MailServer:
    """Keeps the mail it gets, over TLS from whoever has the password."""

    def __init__(self, paths):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*paths)
        self.port, self.mail = free_port(), []
        self.url = "smtps://icefield:pass%%2Fword@127.0.0.1:%d" % self.port
        self.up()

    def up(self):
        def authenticator(_server, _session, _envelope, _mechanism, given):
            return AuthResult(success=(given.login, given.password) == (b"icefield", b"pass/word"))

        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ssl_context=self.context,
            authenticator=authenticator,
            auth_required=True,
            # It is TLS from the first byte, which the library does not count.
            auth_require_tls=False,
        )
        self.controller.start()

    def down(self):
        self.controller.stop()

    async def handle_DATA(self, _server, _session, envelope):
        self.mail.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 OK"

    def jobs(self):
        # The last line is the message itself.
        texts = (mail.get_content().rstrip().splitlines()[-1] for _, mail in self.mail)
        return {json.loads(text)["JobId"] for text in texts}


class Moto:
    """A topic of SNS that feeds a queue, and a queue by itself."""

    def __init__(self):
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.up()
        self.sqs = boto3.client("sqs", endpoint_url=self.url, **MOTO_KEYS)
        sns = boto3.client("sns", endpoint_url=self.url, **MOTO_KEYS)
        self.fed = self.sqs.create_queue(QueueName="fed")["QueueUrl"]
        self.direct = self.sqs.create_queue(QueueName="direct")["QueueUrl"]
        self.topic = sns.create_topic(Name="elsewhere")["TopicArn"]
        asked = self.sqs.get_queue_attributes(QueueUrl=self.fed, AttributeNames=["QueueArn"])
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
        self.read = {self.fed: [], self.direct: []}

    def up(self):
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()

    def down(self):
        self.server.stop()

    def messages(self, queue):
        """Returns the envelopes that ever were in a queue."""
        while True:
            found = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            if not found:
                return self.read[queue]
            for message in found:
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                self.read[queue].append(json.loads(message["Body"]))

    def jobs(self, queue):
        return {json.loads(message["Message"])["JobId"] for message in self.messages(queue)}
