//! Where webhooks may go: the public internet, and nowhere else unless an operator allows it.
//!
//! Whoever registers a webhook chooses where this server connects to, so every URL is a request forged by somebody else
//! until shown otherwise. It is judged twice: [`check_webhook_url`] when it is given to us and again before every attempt,
//! and the resolver that the HTTP client dials with, which hands out a name's addresses only if *all* of them are
//! permitted. The client connects to exactly those addresses, so a name that answers differently a moment later gains
//! nothing. Redirects and proxies do not exist here: the client is built without them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::text;

/// Longer URLs are refused.
const MAX_URL_CHARS: usize = 2048;

/// IPv4 networks that are not the public internet, as (first address, prefix length).
const DENIED_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),        // "this" network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT, and one cloud's metadata
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // one cloud's control plane, on an address that looks public
    ([169, 254, 0, 0], 16),   // link-local, and most clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved
    ([255, 255, 255, 255], 32),
];

/// IPv6 networks inside the public 2000::/3 that are not public all the same; everything outside it is denied anyway.
const DENIED_V6: [([u16; 3], u32); 4] = [
    ([0x2001, 0, 0], 23),     // protocol assignments, with Teredo (an IPv4 address inside)
    ([0x2001, 0xdb8, 0], 32), // documentation
    ([0x2002, 0, 0], 16),     // 6to4 (an IPv4 address inside)
    ([0x3fff, 0, 0], 20),     // documentation
];

/// Ports of 1024 and above that speak something a forged HTTP request could disturb.
const DENIED_PORTS: [u16; 22] = [
    1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4222, 5432, 5672, 5900, 6000, 6379, 6667, 9042, 9092,
    10250, 11211, 27017,
];

/// What webhooks may reach beyond public HTTPS.
#[derive(Debug, Clone, Default)]
pub struct EgressPolicy {
    /// Networks permitted although they are not public: for tests, and for receivers inside the operator's own network.
    pub allow_networks: Vec<IpNet>,
    /// Whether `http://` is permitted.
    pub allow_http: bool,
}

impl EgressPolicy {
    /// Whether a connection to this address is permitted.
    pub fn permits(&self, address: IpAddr) -> bool {
        // An IPv4 address in IPv6 clothes is dialled as IPv4, so it is judged as IPv4.
        let address = address.to_canonical();
        self.allow_networks.iter().any(|network| network.contains(&address)) || is_public(address)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let bits = v4.to_bits();
            !DENIED_V4
                .iter()
                .any(|&(network, length)| (bits ^ Ipv4Addr::from(network).to_bits()).leading_zeros() >= length)
        }
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            bits >> 125 == 0b001
                && !DENIED_V6.iter().any(|&([a, b, c], length)| {
                    (bits ^ Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits()).leading_zeros() >= length
                })
        }
    }
}

/// Reads a webhook's URL, or says in words for its owner why it is refused.
///
/// A name is not resolved here: what it points to is judged each time it is dialled.
pub fn check_webhook_url(text: &str, policy: &EgressPolicy) -> Result<Url, String> {
    if text.chars().count() > MAX_URL_CHARS {
        return Err(format!("is longer than {MAX_URL_CHARS} characters"));
    }
    // Parsers forgive these and disagree about what they mean.
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || text::is_invisible(c)) {
        return Err("contains a space, a backslash or an invisible character".to_owned());
    }
    let authority = authority(text).ok_or("is not an absolute URL like https://example.com/hook")?;
    if authority.contains('@') {
        return Err("contains a user name or password".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if policy.allow_http => {}
        "http" => return Err("must begin with https://".to_owned()),
        _ => return Err("must be an https URL".to_owned()),
    }
    let port = url.port_or_known_default().ok_or("has no port")?;
    if (port < 1024 && !matches!(port, 80 | 443)) || DENIED_PORTS.contains(&port) {
        return Err(format!("uses port {port}, which is not permitted"));
    }
    let host = url.host().ok_or("has no host")?;
    // 2130706433, 0x7f.1 and 127.1 are all 127.0.0.1 to some parser; whoever writes so is hiding something.
    if matches!(host, Host::Ipv4(v4) if authority.split(':').next() != Some(&v4.to_string())) {
        return Err("writes an IPv4 address in an unusual way".to_owned());
    }
    check_host(&host, policy)?;
    Ok(url)
}

/// What stands between `scheme://` and the path; `None` unless it is written exactly so.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (!scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && end > 0).then(|| &rest[..end])
}

fn check_host(host: &Host<&str>, policy: &EgressPolicy) -> Result<(), String> {
    let address = match host {
        Host::Ipv4(v4) => IpAddr::V4(*v4),
        Host::Ipv6(v6) => IpAddr::V6(*v6),
        Host::Domain(name) => return check_name(name, policy),
    };
    if policy.permits(address) { Ok(()) } else { Err("names an address that is not on the public internet".to_owned()) }
}

fn check_name(name: &str, policy: &EgressPolicy) -> Result<(), String> {
    if name.ends_with('.') {
        return Err("has a host name that ends in a dot".to_owned());
    }
    let ends_in = |suffix: &str| name == suffix || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    let this_host = ["localhost", "localdomain", "ip6-localhost", "ip6-loopback"].into_iter().any(ends_in);
    if this_host && !policy.permits(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        return Err("names the server itself".to_owned());
    }
    // Such names mean something only inside a network, and none is reachable unless some network is allowed.
    let local = !name.contains('.') || ["local", "internal", "intranet", "lan", "home.arpa"].into_iter().any(ends_in);
    if local && policy.allow_networks.is_empty() {
        return Err("does not name a host on the public internet".to_owned());
    }
    Ok(())
}

/// A name led to an address that must not be dialled. Does not say which: that would map our network for the asker.
#[derive(Debug, thiserror::Error)]
#[error("the host's name leads to an address that is not on the public internet")]
pub(super) struct BlockedAddress;

/// Answers with all addresses of a name.
pub(super) type Lookup = Box<dyn Fn(String) -> LookingUp + Send + Sync>;

/// A [`Lookup`] in progress.
pub(super) type LookingUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The operating system's resolver.
pub(super) fn system_lookup() -> Lookup {
    Box::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    })
}

/// The resolver the HTTP client dials with: a lookup behind the policy.
pub(super) struct GuardedResolver {
    policy: EgressPolicy,
    lookup: Arc<Lookup>,
}

impl GuardedResolver {
    pub(super) fn new(policy: EgressPolicy, lookup: Lookup) -> Self {
        Self { policy, lookup: Arc::new(lookup) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, lookup) = (self.policy.clone(), Arc::clone(&self.lookup));
        Box::pin(async move {
            let addresses = lookup(name.as_str().to_owned()).await?;
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the host's name has no address").into());
            }
            // One private address among public ones is an attack, not a mistake: none of them is dialled.
            if !addresses.iter().all(|&address| policy.permits(address)) {
                return Err(BlockedAddress.into());
            }
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> bool {
        check_webhook_url(url, &EgressPolicy::default()).is_err()
    }

    #[test]
    fn no_hostile_host_is_accepted() {
        #[rustfmt::skip]
        let hosts = [
            // IPv4, network by network, first and last.
            "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200",
            "100.127.255.255", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1",
            "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
            "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.7",
            "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
            // The same in other spellings.
            "2130706433", "0x7f000001", "0x7F.0.0.1", "0x7f.1", "017700000001", "0177.0.0.1", "127.1",
            "127.0.1", "0", "0x0", "00", "127.0.0.1.", "0x7f.0x0.0x0.0x1", "3232235521", "0xa9fea9fe",
            "2852039166", "0251.0376.0251.0376", "169.254.43518", "1.2.3.4.5", "256.256.256.256", "1.2.3",
            "0xc0.0xa8.1", "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127。0。0。1", "１２７.0.0.1", "①②⑦.⓪.⓪.①",
            "127．0．0．1",
            // IPv6.
            "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::7f00:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:c0a8:1]",
            "[fc00::1]", "[fd00:ec2::254]", "[fdff:ffff::1]", "[fe80::1]", "[febf::1]", "[fec0::1]",
            "[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[3fff::1]", "[3fff:fff::1]", "[100::1]",
            "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:c0a8:1::1]",
            "[2001::1]", "[2001:0:53aa:64c::1]", "[2001:10::1]", "[2001:20::1]", "[5f00::1]", "[4000::1]",
            "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "[::ffff:0:127.0.0.1]", "[]", "[v1.x]", "[::1",
            "::1",
            // Names.
            "localhost", "LOCALHOST", "localhost.", "foo.localhost", "foo.localhost.", "localhost.localdomain",
            "ip6-localhost", "ｌｏｃａｌｈｏｓｔ", "local\u{ad}host", "localhost%2e", "metadata.google.internal",
            "metadata", "printer.local", "db.internal", "router.lan", "nas.home.arpa", "intranet",
            "example.com.", "kubernetes",
            // Not hosts.
            "", ".", "..", "a..b.com%00", "exa mple.com", "exa\tmple.com", "exa\nmple.com",
            "example.com\r\nX: y", "exam\0ple.com", "example.com\u{202e}", "ex%61mple%2f.com", "<script>",
            "example^.com", "a|b.com",
        ];
        assert!(hosts.len() > 120, "{}", hosts.len());
        for host in hosts {
            assert!(refused(&format!("https://{host}/hook")), "{host:?}");
            assert!(refused(&format!("https://{host}:8443")), "{host:?} with a port");
        }
    }

    #[test]
    fn no_hostile_url_is_accepted() {
        #[rustfmt::skip]
        let urls = [
            "", " ", "https://", "https:///", "https:example.com", "https:/example.com", "https:///example.com",
            "//example.com", "example.com", "http://example.com", "HTTP://example.com", "ftp://example.com",
            "file:///etc/passwd", "gopher://example.com", "javascript:alert(1)", "data:text/plain,x",
            "unix:///run/x.sock", "ws://example.com", "https+unix://x", "jar:https://example.com",
            "https://user@example.com", "https://user:pw@example.com", "https://@example.com",
            "https://:@example.com", "https://example.com@127.0.0.1/", "https://example.com%40x@y.com",
            "https://example.com\\@127.0.0.1/", "https:\\\\example.com", "https://example.com\\",
            "https://exam\tple.com", " https://example.com", "https://example.com ",
            "https://example.com/\r\nHost: x", "https://example.com:0", "https://example.com:22",
            "https://example.com:25", "https://example.com:587", "https://example.com:53",
            "https://example.com:110", "https://example.com:143", "https://example.com:389",
            "https://example.com:445", "https://example.com:6379", "https://example.com:5432",
            "https://example.com:3306", "https://example.com:11211", "https://example.com:27017",
            "https://example.com:2375", "https://example.com:65536", "https://example.com:-1",
            "https://example.com:99999999", "https://example.com:x", "https://?", "https://#",
            "https://?@example.com", "https://[::1]:443@example.com/", "ht\ntps://example.com",
            "\u{feff}https://example.com",
        ];
        for url in urls {
            assert!(refused(url), "{url:?}");
        }
        assert!(refused(&format!("https://example.com/{}", "a".repeat(2048))));
    }

    #[test]
    fn ordinary_urls_are_accepted() {
        #[rustfmt::skip]
        let urls = [
            "https://example.com", "https://hooks.example.com/a/b?c=d%20e", "https://example.com:8443/x",
            "https://8.8.8.8/", "https://[2606:4700::1111]/", "https://bücher.example/hook",
            "https://xn--bcher-kva.example/", "HTTPS://Example.COM", "https://localhost.example.com/",
            "https://example.com/mail@x", "https://127.0.0.1.example.com", "https://172.32.0.1",
            "https://100.128.0.1", "https://11.0.0.1", "https://198.20.0.1", "https://223.255.255.255",
        ];
        for url in urls {
            check_webhook_url(url, &EgressPolicy::default()).unwrap_or_else(|reason| panic!("{url} {reason}"));
        }
    }

    #[test]
    fn an_allowed_network_is_permitted_and_its_neighbours_are_not() {
        let policy = EgressPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], allow_http: true };
        for url in ["http://127.0.0.1:8080/", "http://[::ffff:127.0.0.1]:8080/", "http://localhost:8080"] {
            assert!(check_webhook_url(url, &policy).is_ok(), "{url}");
        }
        for url in [
            "http://10.0.0.1/",
            "http://127.1:8080/",
            "http://[::1]/",
            "http://169.254.169.254/",
            "http://127.0.0.1:22/",
        ] {
            assert!(check_webhook_url(url, &policy).is_err(), "{url}");
        }
    }

    async fn resolve(answer: &[&str]) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let answer: Vec<IpAddr> = answer.iter().map(|ip| ip.parse().unwrap()).collect();
        let lookup: Lookup = Box::new(move |_| {
            let answer = answer.clone();
            Box::pin(async move { Ok(answer) })
        });
        let resolver = GuardedResolver::new(EgressPolicy::default(), lookup);
        Ok(resolver.resolve("example.com".parse().unwrap()).await?.collect())
    }

    #[tokio::test]
    async fn a_name_is_dialled_only_if_all_its_addresses_are_public() {
        assert_eq!(resolve(&["8.8.8.8", "2606:4700::1111"]).await.unwrap().len(), 2);
        for answer in [
            vec!["127.0.0.1"],
            vec!["8.8.8.8", "10.0.0.1"],
            vec!["fd00::1", "2606:4700::1111"],
            vec!["::ffff:169.254.169.254"],
        ] {
            let error = resolve(&answer).await.unwrap_err();
            assert!(error.is::<BlockedAddress>(), "{answer:?}");
        }
        assert!(!resolve(&[]).await.unwrap_err().is::<BlockedAddress>(), "no address is a fault, not an attack");
    }
}
