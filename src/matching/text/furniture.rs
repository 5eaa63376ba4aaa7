//! Lines that stand in a report without being written by its customer: menus and footers of a copied page, macros of
//! help desks, disclaimers of mail programs.
//!
//! Whole lines only, by how they begin or by being nothing else. Rules that one customer could break with a sentence of
//! their own ("Unsubscribe does not work") ask for the whole line. Templates of one tenant are not known here: the index
//! finds them by their line hashes.

use crate::matching::words::{self, Traits};

/// How lines begin that nobody writes about a problem.
const OPENINGS: &[&str] = &[
    // Help desks.
    "##- please type your reply",
    "a support agent will",
    "confidentiality notice",
    "delivered by zendesk",
    "please consider the environment before",
    "please do not reply to this",
    "please type your reply above",
    "do not reply to this",
    "thank you for contacting",
    "thank you for reaching out",
    "thank you for getting in touch",
    "thanks for contacting",
    "thanks for reaching out",
    "the information contained in this",
    "this e-mail and any",
    "this email and any",
    "this email is a service",
    "this is an automated",
    "this is an automatic",
    "this message and any attachment",
    "this message is intended only",
    "this message was sent to",
    "to unsubscribe",
    "to view or add comments",
    "view this ticket",
    "we have received your",
    "we've received your",
    "you are receiving this",
    "you received this",
    "your request has been",
    "your request (#",
    "your ticket has been",
    // Pages.
    "accept all cookies",
    "all rights reserved",
    "by continuing to browse",
    "by continuing to use this",
    "by using this site you",
    "copyright ©",
    "copyright (c)",
    "follow us on",
    "like us on facebook",
    "powered by ",
    "share on facebook",
    "share on twitter",
    "share this ",
    "sign up for our newsletter",
    "sign up to our newsletter",
    "skip to ",
    "subscribe to our newsletter",
    "this site uses cookies",
    "this website uses cookies",
    "was this article helpful",
    "was this page helpful",
    "we use cookies",
    "we and our partners use cookies",
    "you might also like",
    "you may also like",
    "©",
];

/// Lines of nothing else.
const WHOLE: &[&str] = &[
    "accept cookies",
    "accept all",
    "add a comment",
    "add comment",
    "advertisement",
    "back to top",
    "comments",
    "cookie policy",
    "cookie settings",
    "leave a comment",
    "leave a reply",
    "manage cookies",
    "no comments yet",
    "post a comment",
    "privacy policy",
    "read more",
    "recommended for you",
    "reject all",
    "related articles",
    "related posts",
    "related questions",
    "reply",
    "share",
    "share this",
    "sponsored",
    "table of contents",
    "terms of service",
    "terms of use",
    "terms and conditions",
    "tweet",
    "unsubscribe",
    "view in browser",
];

/// Whether a line is of those that are furniture by themselves.
pub(super) fn is_furniture(line: &str) -> bool {
    let line = line.trim_start_matches(['*', '|', '[', '>', '·', '•', '-', ' ']);
    // `##-` begins one of the openings.
    let Some(first) = line.bytes().next().map(|byte| byte.to_ascii_lowercase()) else { return false };
    let candidates = |list: &'static [&'static str]| list.iter().filter(move |text| text.as_bytes()[0] == first);
    if candidates(OPENINGS).any(|opening| begins_with(line, opening)) {
        return true;
    }
    let bare = line.trim_end_matches(|c: char| !c.is_alphanumeric());
    bare.len() <= 24 && candidates(WHOLE).any(|whole| bare.eq_ignore_ascii_case(whole)) || is_menu_bar(line)
}

fn begins_with(line: &str, opening: &str) -> bool {
    line.as_bytes().get(..opening.len()).is_some_and(|head| head.eq_ignore_ascii_case(opening.as_bytes()))
}

/// `Home | Products | Support`: at least three links of a few words, one of them known from menus.
fn is_menu_bar(line: &str) -> bool {
    if line.len() > 200 || !line.contains(['|', '·', '»', '•']) || line.ends_with(['|', '.']) {
        return false;
    }
    let links = || line.split(['|', '·', '»', '•']).map(str::trim);
    links().count() >= 3 && links().all(|link| link.split_whitespace().count() <= 3) && links().any(names_menu)
}

/// Whether a short line reads like a link of a menu: `None` if it is no short line at all.
pub(super) fn menu_link(line: &str) -> Option<bool> {
    let line = line.trim_start_matches(['*', '-', '•', '·', ' ']);
    let is_short = line.len() <= 28
        && line.split_ascii_whitespace().count() <= 3
        && !line.contains(|c: char| c.is_ascii() && !c.is_ascii_alphabetic() && !" &'-".contains(c));
    is_short.then(|| names_menu(line))
}

fn names_menu(link: &str) -> bool {
    link.split(|c: char| !c.is_alphanumeric()).any(|word| words::traits(&word.to_lowercase()).any(Traits::MENU))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn furniture_is_known_and_complaints_about_it_are_not_furniture() {
        for line in [
            "We use cookies to improve your experience.",
            "© 2024 Acme Inc. All rights reserved.",
            "Privacy Policy",
            "Home | Products | Support",
            "Thank you for contacting Acme Support!",
            "##- Please type your reply above this line -##",
            "Read more »",
        ] {
            assert!(is_furniture(line), "{line}");
        }
        for line in [
            "Privacy policy page is blank",
            "Unsubscribe does not work",
            "The share button | toolbar overlaps",
            "|a|b|c|",
            "Cookies are not accepted",
            "Terms of service cannot be scrolled",
        ] {
            assert!(!is_furniture(line), "{line}");
        }
        assert_eq!(menu_link("Contact us"), Some(true));
        assert_eq!(menu_link("Open the app"), Some(false));
        assert_eq!(menu_link("Open the app and wait"), None);
    }
}
