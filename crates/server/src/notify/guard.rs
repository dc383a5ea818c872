//! Where a message may go: anywhere but to addresses that mean this machine's own link, or its cloud.
//!
//! Whoever may add a destination chooses where the server sends requests, and an answer of a metadata service is the
//! machine's own credentials. So a name is resolved here, its addresses are checked, and only checked addresses are connected
//! to: looking a name up a second time could find another address. Loopback and private networks are open, because a web
//! hook or a mail server at home is exactly there; who needs them closed closes them outside of the program.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Metadata and other services that clouds have at addresses that are not link-local.
const CLOUD_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const CLOUD_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Why nothing is sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Barred {
    /// It cannot be resolved, because it is no URL.
    #[error("{0:?} is not a URL with a host")]
    NoHost(String),
    /// No message goes to this kind of address.
    #[error(
        "{host} is at {address}, {kind}: nothing is sent there unless `notify_allow` names {host}"
    )]
    Forbidden {
        /// As it was given.
        host: String,
        /// What it stands for.
        address: IpAddr,
        /// Which kind it is.
        kind: &'static str,
    },
    /// The name has no address.
    #[error("cannot find the address of {host}")]
    Unknown {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
}

/// Decides, and resolves names on the way. Clones decide alike.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    allowed: Arc<BTreeSet<String>>,
}

impl Guard {
    /// Hosts that are `allowed` by name may be anywhere.
    pub(crate) fn new<'a>(allowed: impl IntoIterator<Item = &'a String>) -> Self {
        let allowed = allowed.into_iter().map(|host| normal(host));
        Self { allowed: Arc::new(allowed.collect()) }
    }

    /// Reads a URL, and refuses it when its host is an address that is barred, however it is written. A host that is a
    /// name passes: it is checked when it is resolved.
    pub(crate) fn url(&self, text: &str) -> Result<Url, Barred> {
        let no_host = || Barred::NoHost(text.to_owned());
        let url = Url::parse(text).map_err(|_| no_host())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(no_host)?;
        if let Ok(address) = bare(host).parse() {
            self.check(host, address)?;
        }
        Ok(url)
    }

    /// Returns the addresses of a host that may be connected to.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Barred> {
        let unknown = |source| Barred::Unknown { host: host.to_owned(), source };
        let found = tokio::net::lookup_host((bare(host), port)).await.map_err(unknown)?;
        let (mut open, mut barred) = (Vec::new(), None);
        for address in found.take(MAX_ADDRESSES) {
            match self.check(host, address.ip()) {
                Ok(()) => open.push(address),
                Err(why) => barred = Some(why),
            }
        }
        match (open.is_empty(), barred) {
            (false, _) => Ok(open),
            (true, Some(why)) => Err(why),
            (true, None) => Err(unknown(io::ErrorKind::NotFound.into())),
        }
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), Barred> {
        match kind(address) {
            Some(kind) if !self.allowed.contains(&normal(host)) => {
                Err(Barred::Forbidden { host: host.to_owned(), address, kind })
            }
            _ => Ok(()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            // Port 0 stands for the one of the URL.
            let found = Self::resolve(&guard, name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A host as hosts are compared.
fn normal(host: &str) -> String {
    let host = bare(host).to_ascii_lowercase();
    host.strip_suffix('.').map(str::to_owned).unwrap_or(host)
}

/// An IPv6 address without the brackets that it has in a URL.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// Which kind of barred address this is; `None` for one that messages may go to.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => embedded(address).and_then(kind_v4).or_else(|| kind_v6(address)),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets()[0] {
        0 => Some("an address of no host"),
        _ if address.is_link_local() => Some("a link-local address"),
        _ if CLOUD_V4.contains(&address) => Some("a metadata address"),
        _ if address.is_multicast() => Some("a multicast address"),
        240.. => Some("a reserved address"),
        _ => None,
    }
}

fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments()[0] {
        _ if address.is_unspecified() => Some("an address of no host"),
        // fe80::/10, and fec0::/10 that once was for a site.
        0xfe80..=0xfeff => Some("a link-local address"),
        _ if CLOUD_V6.contains(&address) => Some("a metadata address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ => None,
    }
}

/// The IPv4 address that a translator would make of this one.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        // Mapped, and of NAT64 and its neighbours for local use.
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, ..] | [0, 0, 0, 0, 0xffff, 0] => {
            Some(v4(high, low))
        }
        // Compatible; ::1 is loopback.
        [0, 0, 0, 0, 0, 0] if high != 0 => Some(v4(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(&allowed.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_address_is_barred_however_it_is_written() {
        let guard = guard(&[]);
        for (host, open) in [
            ("127.0.0.1", true),
            ("127.1", true),
            ("[::1]", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.10", true),
            ("[fd12:3456::1]", true),
            ("[2001:db8::1]", true),
            ("8.8.8.8", true),
            ("169.253.255.255", true),
            ("169.255.0.1", true),
            ("100.100.100.201", true),
            ("[64:ff9b::808:808]", true),
            ("[::ffff:192.168.1.1]", true),
            ("example.com", true),
            ("169.254.169.254", false),
            ("169.254.0.1", false),
            ("169.254.170.2", false),
            ("2852039166", false),
            ("0xa9fea9fe", false),
            ("0xa9.0xfe.0xa9.0xfe", false),
            ("0251.0376.0251.0376", false),
            ("169.254.43518", false),
            ("169.16689662", false),
            ("169.254.169.254.", false),
            ("169.254.169%2e254", false),
            ("１６９.254.169.254", false),
            ("[fe80::1]", false),
            ("[febf::1]", false),
            ("[fec0::1]", false),
            ("[fd00:ec2::254]", false),
            ("[FD00:0EC2:0::0254]", false),
            ("[fd20:ce::254]", false),
            ("100.100.100.200", false),
            ("168.63.129.16", false),
            ("[::ffff:169.254.169.254]", false),
            ("[::ffff:a9fe:a9fe]", false),
            ("[::169.254.169.254]", false),
            ("[64:ff9b::a9fe:a9fe]", false),
            ("[64:ff9b:1::a9fe:a9fe]", false),
            ("[2002:a9fe:a9fe::1]", false),
            ("[::ffff:0:a9fe:a9fe]", false),
            ("0.0.0.0", false),
            ("0", false),
            ("0.1.2.3", false),
            ("[::]", false),
            ("224.0.0.1", false),
            ("239.255.255.250", false),
            ("[ff02::1]", false),
            ("255.255.255.255", false),
            ("240.0.0.1", false),
        ] {
            let checked = guard.url(&format!("http://{host}/path"));
            assert_eq!(checked.is_ok(), open, "{host}: {checked:?}");
        }
    }

    #[test]
    fn what_is_no_url_with_a_host_is_refused() {
        for text in [
            "",
            "example.com",
            "http://",
            "mailto:a@b",
            "http://[fe80::1%25eth0]/",
            "http://1.2.3.256/",
        ] {
            assert!(matches!(guard(&[]).url(text), Err(Barred::NoHost(_))), "{text}");
        }
    }

    #[test]
    fn a_host_that_is_allowed_by_name_may_be_anywhere() {
        let guard = guard(&["169.254.169.254", "FE80::1", "Metadata.Local."]);
        assert!(guard.url("http://169.254.169.254/").is_ok());
        assert!(guard.url("http://2852039166/").is_ok(), "it is the same host");
        assert!(guard.url("http://[fe80::1]/").is_ok());
        assert!(guard.url("http://169.254.169.253/").is_err());
        let address = "169.254.1.1".parse().unwrap();
        assert!(guard.check("metadata.local", address).is_ok());
        assert!(guard.check("x.metadata.local", address).is_err());
    }

    #[tokio::test]
    async fn only_checked_addresses_are_connected_to() {
        let guard = guard(&[]);
        let found = guard.resolve("127.0.0.1", 25).await.unwrap();
        assert_eq!(found, ["127.0.0.1:25".parse().unwrap()]);
        assert_eq!(guard.resolve("[::1]", 25).await.unwrap(), ["[::1]:25".parse().unwrap()]);
        // Forms that only the system's resolver understands.
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166", "fe80::1", "0"] {
            let refused = guard.resolve(host, 25).await;
            assert!(refused.is_err(), "{host}: {refused:?}");
        }
    }
}
