//! Whom a request takes the server for.
//!
//! A server with a key that everybody knows must not be reached through a browser: a page whose name is turned to a
//! loopback address after it was loaded may talk to that address as if it were its own. Such a request names the page's
//! host, so only hosts are answered that no page can have.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, header::HOST};
use icefield_protocol::ErrorCode;

use crate::{error::ApiError, header};

/// Refuses a host that a page of somebody else could have: all but addresses, `localhost`, and the names of the real
/// service, which old clients put there however they are redirected.
pub(crate) fn check_local(headers: &HeaderMap) -> Result<(), ApiError> {
    let host = header::text(headers, &HOST).unwrap_or_default();
    if is_local(&host) {
        return Ok(());
    }
    let text =
        format!("This server is for trying things out: it does not answer for the host {host}.");
    Err(ApiError::new(ErrorCode::AccessDenied, text))
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            return rest.split(']').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
        }
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || [".localhost", ".amazonaws.com", ".amazonaws.com.cn"]
            .iter()
            .any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_hosts_that_no_page_can_have_are_local() {
        for host in [
            "127.0.0.1:9440",
            "127.0.0.1",
            "[::1]:9440",
            "localhost:1",
            "LOCALHOST",
            "glacier.us-east-1.amazonaws.com",
            "api.localhost:80",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "attacker.example:9440",
            "127.0.0.1.attacker.example",
            "localhost.attacker.example",
            "amazonaws.com.attacker.example:1",
            "evil-amazonaws.com",
            "[attacker.example]:1",
            "7f000001.nip.example",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
