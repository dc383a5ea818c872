//! Messages in the form of SNS ("HTTP/HTTPS notification JSON format", "HTTP/HTTPS subscription confirmation JSON format"),
//! with signature version 2.
//!
//! What is signed is a list of names and values, a line each, in the order of the names.

use icefield_protocol::{Timestamp, TopicArn};
use serde::Serialize;

use super::signer::Signer;

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Stays the same from attempt to attempt, so that a receiver can tell a repeated one.
    pub(crate) id: String,
    pub(crate) topic: TopicArn,
    /// Names the destination within the topic.
    pub(crate) destination: String,
    /// When it was recorded.
    pub(crate) at: Timestamp,
    pub(crate) content: Content,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// This.
    Notification(String),
    /// It asks for consent, to be given with this token.
    Confirmation(String),
}

impl Content {
    /// The type, as it stands in the envelope and its header.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Notification(_) => "Notification",
            Self::Confirmation(_) => "SubscriptionConfirmation",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    r#type: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    topic_arn: &'a str,
    message: &'a str,
    #[serde(rename = "SubscribeURL", skip_serializing_if = "Option::is_none")]
    subscribe_url: Option<&'a str>,
    timestamp: &'a str,
    signature_version: &'a str,
    signature: &'a str,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: &'a str,
    #[serde(rename = "UnsubscribeURL", skip_serializing_if = "Option::is_none")]
    unsubscribe_url: Option<&'a str>,
}

impl Message {
    pub(crate) const fn is_notification(&self) -> bool {
        matches!(self.content, Content::Notification(_))
    }

    /// The envelope, signed. URLs in it begin with `base`, which has no slash at its end.
    pub(crate) fn envelope(&self, base: &str, signer: &Signer) -> Result<String, rcgen::Error> {
        let topic = self.topic.to_string();
        let timestamp = self.at.to_string();
        let signing_cert_url = format!("{base}{}", certificate_path(&signer.name));
        let (text, token, subscribe, unsubscribe) = match &self.content {
            Content::Notification(text) => {
                let url = format!(
                    "{base}/?Action=Unsubscribe&SubscriptionArn={topic}:{}",
                    self.destination
                );
                (text.clone(), None, None, Some(url))
            }
            Content::Confirmation(token) => {
                let url =
                    format!("{base}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}");
                let text = format!(
                    "The topic {topic} is about to send its messages here. Open the SubscribeURL of this message to agree."
                );
                (text, Some(token.as_str()), Some(url), None)
            }
        };
        let mut signed = vec![("Message", text.as_str()), ("MessageId", &self.id)];
        signed.extend(subscribe.as_deref().map(|url| ("SubscribeURL", url)));
        signed.push(("Timestamp", &timestamp));
        signed.extend(token.map(|token| ("Token", token)));
        signed.extend([("TopicArn", topic.as_str()), ("Type", self.content.kind())]);
        let envelope = Envelope {
            r#type: self.content.kind(),
            message_id: &self.id,
            token,
            topic_arn: &topic,
            message: &text,
            subscribe_url: subscribe.as_deref(),
            timestamp: &timestamp,
            signature_version: "2",
            signature: &signer.sign(&canonical(&signed))?,
            signing_cert_url: &signing_cert_url,
            unsubscribe_url: unsubscribe.as_deref(),
        };
        Ok(serde_json::to_string(&envelope).expect("texts can be written"))
    }
}

const CERTIFICATE: (&str, &str) = ("/SimpleNotificationService-", ".pem");

/// Where the certificate of this name lies.
pub(crate) fn certificate_path(name: &str) -> String {
    format!("{}{name}{}", CERTIFICATE.0, CERTIFICATE.1)
}

/// Whether a certificate could lie there.
pub(crate) fn is_certificate_path(path: &str) -> bool {
    path.starts_with(CERTIFICATE.0) && path.ends_with(CERTIFICATE.1)
}

fn canonical(members: &[(&str, &str)]) -> String {
    members.iter().flat_map(|(name, value)| [*name, "\n", *value, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::notify::signer::tests::signer;

    fn message(content: Content) -> Message {
        Message {
            id: "7f1c3f3e-0000-4000-8000-000000000001".to_owned(),
            topic: "arn:aws:sns:us-west-2:012345678901:done".parse().unwrap(),
            destination: "00112233445566ff".to_owned(),
            at: Timestamp::from_unix_millis(1_336_392_000_250),
            content,
        }
    }

    fn members(text: &str) -> Vec<String> {
        let Value::Object(members) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        members.keys().cloned().collect()
    }

    #[test]
    fn a_notification_is_signed_over_its_five_members() {
        let signer = signer();
        let written = message(Content::Notification(r#"{"Action":"x"}"#.to_owned()))
            .envelope("https://cold.example", &signer)
            .unwrap();
        let value: Value = serde_json::from_str(&written).unwrap();
        let canonical = "Message\n{\"Action\":\"x\"}\nMessageId\n7f1c3f3e-0000-4000-8000-000000000001\n\
            Timestamp\n2012-05-07T12:00:00.250Z\nTopicArn\narn:aws:sns:us-west-2:012345678901:done\nType\nNotification\n";
        assert!(signer.verifies(canonical, value["Signature"].as_str().unwrap()), "{written}");
        let mut expected = [
            "Type",
            "MessageId",
            "TopicArn",
            "Message",
            "Timestamp",
            "SignatureVersion",
            "Signature",
            "SigningCertURL",
            "UnsubscribeURL",
        ];
        expected.sort_unstable();
        let mut found = members(&written);
        found.sort_unstable();
        assert_eq!(found, expected, "no Subject");
        assert!(written.starts_with(r#"{"Type":"Notification","MessageId":"#), "{written}");
        assert_eq!(value["SignatureVersion"], "2");
        let certificate =
            format!("https://cold.example/SimpleNotificationService-{}.pem", signer.name);
        assert_eq!(value["SigningCertURL"], certificate);
        assert_eq!(
            value["UnsubscribeURL"],
            "https://cold.example/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-west-2:012345678901:done:00112233445566ff"
        );
    }

    #[test]
    fn a_confirmation_is_signed_with_its_token_and_url() {
        let signer = signer();
        let written = message(Content::Confirmation("abc123".to_owned()))
            .envelope("https://cold.example", &signer)
            .unwrap();
        let value: Value = serde_json::from_str(&written).unwrap();
        let url = "https://cold.example/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-west-2:012345678901:done&Token=abc123";
        assert_eq!((&value["SubscribeURL"], &value["Token"]), (&url.into(), &"abc123".into()));
        assert!(value.get("UnsubscribeURL").is_none());
        let text = value["Message"].as_str().unwrap();
        let canonical = format!(
            "Message\n{text}\nMessageId\n7f1c3f3e-0000-4000-8000-000000000001\nSubscribeURL\n{url}\n\
            Timestamp\n2012-05-07T12:00:00.250Z\nToken\nabc123\nTopicArn\narn:aws:sns:us-west-2:012345678901:done\n\
            Type\nSubscriptionConfirmation\n"
        );
        assert!(signer.verifies(&canonical, value["Signature"].as_str().unwrap()), "{written}");
    }
}
