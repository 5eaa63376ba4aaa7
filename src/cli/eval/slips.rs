//! Slips of the hand, put into texts that have none: how much worse does the engine do?

use crate::matching::Dice;

/// Letters of a word that a slip is put into.
const SHORTEST: usize = 5;

/// The text with one letter wrong in one of its longer words: left out, put in, put for another, or out of its place. It is
/// drawn by lot, and never the first letter of a word. A text without such a word stays as it is.
pub(super) fn misspell(text: &str, dice: &mut Dice) -> String {
    let words: Vec<(usize, &str)> = words(text).filter(|(_, word)| word.len() >= SHORTEST).collect();
    let Some(&(start, word)) = words.get(dice.below(words.len())) else { return text.to_owned() };
    let mut letters = word.as_bytes().to_vec();
    let at = 1 + dice.below(letters.len() - 1);
    let letter = b'a' + dice.below(26) as u8;
    match dice.below(4) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letter),
        2 => letters[at] = letter,
        _ => {
            let at = at.min(letters.len() - 2);
            letters.swap(at, at + 1);
        }
    }
    let wrong: String = letters.into_iter().map(char::from).collect();
    format!("{}{wrong}{}", &text[..start], &text[start + word.len()..])
}

/// The words of ASCII letters alone, and where each begins.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let starts = text.match_indices(is_letter).map(|(at, _)| at);
    let begins = starts.filter(move |&at| !text[..at].ends_with(is_letter));
    begins.map(move |at| (at, &text[at..at + text[at..].find(|c| !is_letter(c)).unwrap_or(text.len() - at)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_longer_word_gets_one_slip_behind_its_first_letter() {
        let text = "Größe: the transfer (to my account) is late";
        let mut dice = Dice::new(1);
        for _ in 0..1_000 {
            let wrong = misspell(text, &mut dice);
            let pairs = text.split(' ').zip(wrong.split(' '));
            let changed: Vec<_> = pairs.filter(|(one, other)| one != other).collect();
            assert!(changed.len() <= 1 && text.split(' ').count() == wrong.split(' ').count(), "{wrong}");
            for (one, other) in changed {
                assert!(["transfer", "account)"].contains(&one) && one.as_bytes()[0] == other.as_bytes()[0], "{wrong}");
                assert!(one.len().abs_diff(other.len()) <= 1, "{wrong}");
            }
        }
        assert_eq!(misspell("ok", &mut dice), "ok");
    }
}
