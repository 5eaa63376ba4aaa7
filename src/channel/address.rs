//! Which email addresses mail is sent to.

use lettre::Address;
use url::Host;

use super::text;

/// Says whether mail can be sent to an address, in words for the one who entered it.
///
/// Accepts plain addresses with international domains; refuses display names, quoted local parts, address literals and
/// everything else that is legal in theory and an attack in practice.
pub fn check_email_address(text: &str) -> Result<(), String> {
    parse_address(text).map(|_| ())
}

/// Reads an address, its domain turned to ASCII.
pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    if text.len() > 254 {
        return Err("is longer than 254 bytes".to_owned());
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || text::is_invisible(c)) {
        return Err("contains a space, line break or invisible character".to_owned());
    }
    let (user, domain) = text.split_once('@').ok_or("has no @")?;
    let atom = |c: char| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && c.is_alphanumeric())
    };
    if user.len() > 64 || !user.split('.').all(|part| !part.is_empty() && part.chars().all(atom)) {
        return Err("has a part before the @ that is not a mailbox name".to_owned());
    }
    if !domain.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.') {
        return Err("has a part after the @ that is not a domain name".to_owned());
    }
    match Host::parse(domain) {
        Ok(Host::Domain(name)) if is_mail_domain(&name) => {
            Address::new(user, name).map_err(|error| format!("is not an email address: {error}"))
        }
        _ => Err("has a part after the @ that is not a domain name".to_owned()),
    }
}

fn is_mail_domain(name: &str) -> bool {
    let label = |part: &str| (1..=63).contains(&part.len()) && !part.starts_with('-') && !part.ends_with('-');
    name.contains('.') && name.split('.').all(label) && !name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_are_accepted() {
        #[rustfmt::skip]
        let addresses = [
            "ada@example.org", "ADA@Example.ORG", "ada.lovelace+fix@mail.example.co.uk", "o'brien@example.org",
            "x_y-z=1@example.org", "1@2.example", "jürgen@example.org", "ada@bücher.example",
            "ada@xn--bcher-kva.example", "用户@例子.example", "a@b.museum",
        ];
        for address in addresses {
            assert_eq!(check_email_address(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn no_hostile_address_is_accepted() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}example.org", "a.".repeat(130));
        #[rustfmt::skip]
        let addresses = [
            "", "@", "a@", "@b.example", "ada", "ada@example.org\r\nBcc: x@y.example", "ada@example.org\n",
            "\rada@example.org", "ada\0@example.org", "ada@exam\0ple.org", "ada@example.org,eve@example.org",
            "ada@example.org;eve@example.org", "ada@example.org eve@example.org", "Ada <ada@example.org>",
            "<ada@example.org>", "\"a b\"@example.org", "\"a\\\"b\"@example.org", "\"@\"@example.org",
            "ada@[127.0.0.1]", "ada@[IPv6:::1]", "ada@127.0.0.1", "ada@2130706433", "ada@0x7f000001",
            "ada@localhost", "ada@mail.localhost", "ada@intranet", "ada..b@example.org", ".ada@example.org",
            "ada.@example.org", "ada@example..org", "ada@.example.org", "ada@example.org.", "ada@-example.org",
            "ada@example-.org", "ada@exa_mple.org", "ada@exa mple.org", "ada@example.org/x",
            "ada@example.org?x", "ada@example.org#x", "ada@@example.org", "a@b@example.org", "ada@example.org>",
            "ada@exam<ple.org", "ada(comment)@example.org", "ada@example.org(comment)", "ada:b@example.org",
            "mailto:ada@example.org", "ada\\@example.org", "ada\u{202e}@example.org", "ada@exam\u{200b}ple.org",
            "ada@example\u{3002}org\u{feff}", "ada%40example.org", "%0d%0aRCPT@", "ada@%65xample.org",
            "\u{a0}ada@example.org", "ada\u{2028}@example.org", "ada@example.org\u{85}", "ada@１２７.0.0.1",
            "|cat@", "ada@xn--a.example", &long, &longer,
        ];
        for address in addresses {
            assert!(check_email_address(address).is_err(), "{address:?}");
        }
    }
}
