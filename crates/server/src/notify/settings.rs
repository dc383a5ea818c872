//! What an operator may tune about notifications.

use std::{collections::BTreeSet, time::Duration};

use icefield_protocol::sigv4::{SecretKey, decoded};
use lettre::message::Mailbox;
use reqwest::Url;

/// Settings of notifications.
#[derive(Debug, Clone)]
pub struct NotifySettings {
    /// Hosts that may be reached although they are at a link-local, metadata or otherwise barred address.
    pub allow: BTreeSet<String>,
    /// How mail is sent; without it, messages to mailboxes fail.
    pub mail: Option<MailSettings>,
    /// How long to wait after the first failure of a delivery; doubled up to one hour. Default: 10 seconds.
    pub first_retry: Duration,
    /// Attempts after which a delivery is given up. Default: 32, which is about a day.
    pub attempts: u32,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self {
            allow: BTreeSet::new(),
            mail: None,
            first_retry: Duration::from_secs(10),
            attempts: 32,
        }
    }
}

/// A mail server, and who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    pub(crate) credentials: Option<(String, SecretKey)>,
    pub(crate) from: Mailbox,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    /// Not at all.
    None,
    /// By TLS, begun with the command STARTTLS before anything is said.
    StartTls,
    /// By TLS from the first byte.
    Tls,
}

/// Why settings of mail are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMail {
    /// The URL is of no use. It is not repeated: it may hold a password.
    #[error(
        "it is not of the form smtps://HOST, smtp://HOST?tls=required or smtp://HOST, with a port and a user's name and password where needed"
    )]
    Url,
    /// A password would be sent for everybody to read.
    #[error("a password is sent only over TLS: use smtps://, or ?tls=required")]
    PlainPassword,
    /// The sender is no address.
    #[error("{0:?} is not an address such as icefield@example.com")]
    From(String),
}

impl MailSettings {
    /// Reads the URL of a mail server, and the sender's address.
    ///
    /// # Errors
    ///
    /// When either cannot be used, or a password would be sent without TLS.
    pub fn parse(url: &str, from: &str) -> Result<Self, InvalidMail> {
        let url = Url::parse(url).map_err(|_| InvalidMail::Url)?;
        let required = match url.query() {
            None => false,
            Some("tls=required") => true,
            Some(_) => return Err(InvalidMail::Url),
        };
        let (security, port) = match (url.scheme(), required) {
            ("smtps", _) => (Security::Tls, 465),
            ("smtp", true) => (Security::StartTls, 587),
            ("smtp", false) => (Security::None, 25),
            _ => return Err(InvalidMail::Url),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidMail::Url)?;
        if !matches!(url.path(), "" | "/") {
            return Err(InvalidMail::Url);
        }
        let text = |part: &str| String::from_utf8(decoded(part)).map_err(|_| InvalidMail::Url);
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (_, _) if security == Security::None => return Err(InvalidMail::PlainPassword),
            (user, password) => {
                Some((text(user)?, SecretKey::new(text(password.unwrap_or_default())?)))
            }
        };
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(port),
            security,
            credentials,
            from: from.parse().map_err(|_| InvalidMail::From(from.to_owned()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "icefield@example.com";

    #[test]
    fn the_scheme_says_how_the_connection_is_protected() {
        for (url, security, port) in [
            ("smtps://mail.example.com", Security::Tls, 465),
            ("smtp://mail.example.com?tls=required", Security::StartTls, 587),
            ("smtp://mail.example.com", Security::None, 25),
            ("smtp://127.0.0.1:2525/", Security::None, 2525),
        ] {
            let mail = MailSettings::parse(url, FROM).unwrap();
            assert_eq!((mail.security, mail.port), (security, port), "{url}");
        }
        let mail = MailSettings::parse("smtps://ann%40x:p%2Fw@[::1]:2465", FROM).unwrap();
        assert_eq!(mail.host, "[::1]");
        assert_eq!(mail.credentials, Some(("ann@x".to_owned(), SecretKey::new("p/w"))));
        assert!(!format!("{mail:?}").contains("p/w"));
    }

    #[test]
    fn what_cannot_be_used_or_would_show_a_password_is_refused() {
        for url in
            ["", "mail.example.com", "http://x", "smtp://", "smtp://x?tls=maybe", "smtp://x/y"]
        {
            assert_eq!(MailSettings::parse(url, FROM), Err(InvalidMail::Url), "{url}");
        }
        let plain = MailSettings::parse("smtp://ann:secret@x", FROM);
        assert_eq!(plain, Err(InvalidMail::PlainPassword));
        for from in ["", "ann", "ann@x\r\nBcc: all@x"] {
            let refused = MailSettings::parse("smtp://x", from);
            assert_eq!(refused, Err(InvalidMail::From(from.to_owned())));
        }
    }
}
