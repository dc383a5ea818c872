//! Mail: a few plain words and the message itself, through the mail server of the settings.
//!
//! The name of the server is resolved and checked here and one of its addresses is connected to; its certificate has to be
//! that of the name all the same. Headers are made by the library from checked parts, so nothing in a message can add one.

use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use serde_json::Value;

use super::{
    channel::{Channel, Undelivered},
    envelope::{Content, Message},
    guard::Guard,
    settings::{MailSettings, Security},
};

/// How long connecting and each command may take: longer than servers that make strangers wait.
const STEP: Duration = Duration::from_secs(10);

/// One mailbox.
pub(super) struct Email<'a> {
    pub(super) settings: Option<&'a MailSettings>,
    pub(super) guard: &'a Guard,
    pub(super) to: &'a str,
}

#[async_trait]
impl Channel for Email<'_> {
    async fn deliver(&self, message: &Message) -> Result<(), Undelivered> {
        let none = || Undelivered::because("no mail server is set: smtp_url and smtp_from");
        let settings = self.settings.ok_or_else(none)?;
        let mail = mail(message, &settings.from, self.to)?;
        let found = self.guard.resolve(&settings.host, settings.port).await;
        let mut failed = None;
        for address in found.map_err(|barred| Undelivered::unreachable(&barred))? {
            let transport = transport(settings, &address.ip().to_string())?;
            match transport.send(mail.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_permanent() => return Err(Undelivered::refused(&error)),
                Err(error) => {
                    let answered = error.is_transient();
                    failed = Some(Undelivered::unreachable(&error));
                    if answered {
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(none))
    }
}

fn transport(
    settings: &MailSettings,
    address: &str,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, Undelivered> {
    let tls = || {
        TlsParameters::new(settings.host.clone()).map_err(|error| Undelivered::unreachable(&error))
    };
    let tls = match settings.security {
        Security::None => Tls::None,
        Security::StartTls => Tls::Required(tls()?),
        Security::Tls => Tls::Wrapper(tls()?),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address)
        .port(settings.port)
        .tls(tls)
        .timeout(Some(STEP));
    if let Some((user, password)) = &settings.credentials {
        let password = password.as_str().to_owned();
        transport = transport.credentials(Credentials::new(user.clone(), password));
    }
    Ok(transport.build())
}

/// The mail that tells a message.
fn mail(message: &Message, from: &Mailbox, to: &str) -> Result<Mail, Undelivered> {
    let to: Mailbox = to.parse().map_err(|error| Undelivered::refused(&address_error(&error)))?;
    let (subject, text) = words(message);
    let millis = u64::try_from(message.at.unix_millis()).unwrap_or(0);
    Mail::builder()
        .from(from.clone())
        .to(to)
        .subject(subject)
        .message_id(Some(format!("<{}@{}>", message.id, from.email.domain())))
        .date(UNIX_EPOCH + Duration::from_millis(millis))
        .header(ContentType::TEXT_PLAIN)
        .body(text)
        .map_err(|error| Undelivered::refused(&error))
}

#[derive(Debug, thiserror::Error)]
#[error("the address cannot be written to: {0}")]
struct NoAddress(String);

fn address_error(error: &lettre::address::AddressError) -> NoAddress {
    NoAddress(error.to_string())
}

/// Subject and text: about a job if the message is one.
fn words(message: &Message) -> (String, String) {
    let Content::Notification(text) = &message.content else {
        return (format!("icefield: topic {}", message.topic.name), String::new());
    };
    let job: Option<Value> = serde_json::from_str(text).ok();
    let member = |name: &str| job.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let told = || {
        let (action, status) = (member("Action")?, member("StatusCode")?);
        let (vault, id) = (member("VaultARN")?, member("JobId")?);
        let vault = vault.rsplit('/').next()?.to_owned();
        let subject = format!("icefield: {action} {status} in vault {vault}");
        let reason = member("StatusMessage").filter(|reason| *reason != status);
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let words = format!(
            "The {action} job of vault {vault} has ended: {status}{reason}.\n\nJob: {id}\n"
        );
        Some((subject, words))
    };
    let (subject, words) = told().unwrap_or_else(|| {
        let name = &message.topic.name;
        (format!("icefield: a message of topic {name}"), format!("A message of topic {name}.\n"))
    });
    (subject, format!("{words}\n{text}\n"))
}

#[cfg(test)]
mod tests {
    use icefield_protocol::Timestamp;

    use super::*;

    fn written(text: &str, to: &str) -> Result<String, Undelivered> {
        let message = Message {
            id: "7f1c3f3e-0000-4000-8000-000000000001".to_owned(),
            topic: "arn:aws:sns:us-west-2:012345678901:done".parse().unwrap(),
            destination: "00112233445566ff".to_owned(),
            at: Timestamp::from_unix_millis(1_336_392_000_250),
            content: Content::Notification(text.to_owned()),
        };
        let mail = mail(&message, &"icefield@example.com".parse().unwrap(), to)?;
        Ok(String::from_utf8(mail.formatted()).unwrap())
    }

    #[test]
    fn a_mail_says_which_job_of_which_vault_has_ended_how() {
        let text = r#"{"Action":"ArchiveRetrieval","JobId":"x1","StatusCode":"Succeeded","StatusMessage":"Succeeded","VaultARN":"arn:aws:glacier:us-west-2:012345678901:vaults/photos"}"#;
        let mail = written(text, "ann@example.com").unwrap();
        for line in [
            "From: icefield@example.com",
            "To: ann@example.com",
            "Subject: icefield: ArchiveRetrieval Succeeded in vault photos",
            "Date: Mon, 07 May 2012 12:00:00 +0000",
            "Message-ID: <7f1c3f3e-0000-4000-8000-000000000001@example.com>",
            "The ArchiveRetrieval job of vault photos has ended: Succeeded.",
        ] {
            assert!(mail.lines().any(|found| found == line), "{line}\n{mail}");
        }
    }

    #[test]
    fn nothing_in_a_message_adds_a_header() {
        let text = r#"{"Action":"A\r\nBcc: all@example.com","JobId":"x","StatusCode":"S\r\n\r\nX","VaultARN":"vaults/v\nBcc: b@example.com"}"#;
        let mail = written(text, "ann@example.com").unwrap();
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = head
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split_once(':').unwrap().0.to_ascii_lowercase())
            .collect();
        assert!(names.iter().all(|name| name != "bcc"), "{head}");
        assert_eq!(names.iter().filter(|name| *name == "subject").count(), 1);
        for to in
            ["ann@example.com\r\nBcc: all@example.com", "ann@example.com, all@example.com", "ann"]
        {
            assert!(written(text, to).is_err(), "{to}");
        }
    }
}
