//! What a single line looks like: a sentence, code, a log, a stack frame, configuration.
//!
//! One look at the bytes counts what the line is made of; a few openings are known by heart. A line alone is often
//! undecided, so a guess may be weak; `layout` settles it by the neighbours.

use super::Zone;
use crate::matching::signature::stack;

/// What a line looks like on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    /// Words of a person.
    Prose,
    /// As much code or log as prose.
    Weak,
    /// Surely not prose.
    Sure(Zone),
    /// The head of a stack trace, if frames follow.
    Exception,
}

/// What a line is made of, in bytes. Letters of other scripts are letters.
#[derive(Debug, Default, Clone, Copy)]
struct Makeup {
    letters: usize,
    symbols: usize,
    words: usize,
}

const LETTER: u8 = 1;
const SYMBOL: u8 = 2;
const SPACE: u8 = 3;

/// What each byte is: a letter or digit, a symbol that sentences lack, a space, or 0 for what both have.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | 128..=255 => LETTER,
            b'{' | b'}' | b'[' | b']' | b';' | b'=' | b'<' | b'>' | b'|' | b'&' | b'+' | b'$' | b'%' | b'#' | b'@'
            | b'^' | b'\\' | b'/' | b'_' | b'(' | b')' | b'"' | b'*' | b'~' => SYMBOL,
            b' ' | b'\t' | b'\r' => SPACE,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

fn makeup(line: &[u8]) -> Makeup {
    // How many of each class, in 16 bits each; a part of a line that fits into these at a time.
    let mut makeup = Makeup::default();
    let mut after_space = true;
    for part in line.chunks(usize::from(u16::MAX)) {
        let mut counts = 0_u64;
        for &byte in part {
            let class = CLASSES[usize::from(byte)];
            counts += 1 << (class * 16);
            makeup.words += usize::from(after_space & (class != SPACE));
            after_space = class == SPACE;
        }
        let count = |class: u8| (counts >> (class * 16)) as usize & usize::from(u16::MAX);
        makeup.letters += count(LETTER);
        makeup.symbols += count(SYMBOL);
    }
    makeup
}

/// Looks at a line without the space at its end; `indent` is the width of the space before it.
pub(super) fn guess(line: &str, indent: usize) -> Guess {
    let bytes = line.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return Guess::Prose };
    if stack::is_frame(line) {
        return Guess::Sure(Zone::Trace);
    }
    if is_log(line) {
        let is_traced = line.contains("\tat ") || line.contains("   at ");
        return Guess::Sure(if is_traced { Zone::Trace } else { Zone::Log });
    }
    if stack::exception(line).is_some() {
        return Guess::Exception;
    }
    if let Some(zone) = known_opening(line, first, last) {
        return Guess::Sure(zone);
    }
    let makeup = makeup(bytes);
    let solid = makeup.letters + makeup.symbols;
    // In percent of what is not punctuation or space.
    let density = makeup.symbols * 100 / solid.max(1);
    let is_ended = last == b';'
        || matches!(last, b'{' | b'(' | b'[') && makeup.symbols > 1
        || matches!(last, b'{' | b'}') && !line.ends_with("}}")
        || line.ends_with("},")
        || line.ends_with(");")
        || line.ends_with("),")
        || line.ends_with("=>");
    if is_ended && (makeup.symbols >= 2 || makeup.words <= 3) || density >= 22 && makeup.symbols >= 4 {
        return Guess::Sure(Zone::Code);
    }
    if is_assignment(line, makeup.words) {
        return Guess::Sure(Zone::Config);
    }
    if begins_statement(line) && density >= 6 {
        return Guess::Sure(Zone::Code);
    }
    if makeup.symbols >= 3 && density >= 12 || indent >= 2 && makeup.words <= 4 || last == b',' && makeup.words <= 4 {
        return Guess::Weak;
    }
    Guess::Prose
}

fn known_opening(line: &str, first: u8, last: u8) -> Option<Zone> {
    match first {
        b'<' if last == b'>' && line.len() > 2 => Some(Zone::Config),
        b'/' if line.starts_with("//") || line.starts_with("/*") => Some(Zone::Code),
        b'*' if line.starts_with("*/") => Some(Zone::Code),
        b'}' | b')' if line.len() <= 4 => Some(Zone::Code),
        b'#' if line.starts_with("#include") || line.starts_with("#import") || line.starts_with("#define") => {
            Some(Zone::Code)
        }
        b'$' if line.starts_with("$ ") => Some(Zone::Code),
        b'"' if line.contains("\":") && matches!(last, b',' | b'"' | b'{' | b'[' | b'0'..=b'9' | b'e') => {
            Some(Zone::Config)
        }
        b'[' if last == b']' && line.len() <= 40 && !line[1..line.len() - 1].contains([' ', '[', ']', '|', ':']) => {
            Some(Zone::Config)
        }
        _ => None,
    }
}

/// `name = value`, `some.key=value`, `Name           = value`.
fn is_assignment(line: &str, words: usize) -> bool {
    let Some((name, value)) = line.split_once('=') else { return false };
    let is_aligned = name.ends_with("   ");
    let name = name.trim_end();
    words <= 12
        && !value.starts_with(['=', '>'])
        && !name.is_empty()
        && name.len() <= 60
        && (is_aligned || name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-$[]\"'".contains(&b)))
}

fn begins_statement(line: &str) -> bool {
    const OPENINGS: &[&str] = &[
        "var ",
        "let ",
        "const ",
        "function",
        "return",
        "import ",
        "public ",
        "private ",
        "protected ",
        "static ",
        "class ",
        "def ",
        "if (",
        "if(",
        "for (",
        "for(",
        "while (",
        "else",
        "try",
        "catch",
        "package ",
        "using ",
        "namespace ",
        "fn ",
        "pub ",
        "func ",
        "self.",
        "this.",
        "new ",
        "echo ",
        "sudo ",
        "SELECT ",
        "export ",
    ];
    line.as_bytes().first().is_some_and(|b| b"vlcfrip sdwtunepgS".contains(b))
        && OPENINGS.iter().any(|opening| line.starts_with(opening))
}

// ---- logs ------------------------------------------------------------------------------------------------------

/// Whether a line begins as only a program's lines do: with the time to the second, or a level.
pub(super) fn is_log(line: &str) -> bool {
    let line = line.strip_prefix(['[', '(']).map_or(line, str::trim_start);
    let Some(&first) = line.as_bytes().first() else { return false };
    match first {
        b'0'..=b'9' => begins_with_time(line.as_bytes()),
        b'A'..=b'Z' => begins_with_level(line) || begins_with_month(line),
        b'n' => line.starts_with("npm ERR!") || line.starts_with("npm WARN"),
        _ => false,
    }
}

/// `10:11:12`, `2024-01-02 10:11`, `08-16 09:31:41.133`, `1338.583575]`.
fn begins_with_time(line: &[u8]) -> bool {
    let head = &line[..line.len().min(20)];
    let stamp = head.iter().take_while(|b| b.is_ascii_digit() || b" -/.:,T".contains(b)).count();
    let head = &head[..stamp];
    let colons = head.iter().filter(|b| **b == b':').count();
    let dashes = head.iter().filter(|b| matches!(b, b'-' | b'/')).count();
    let digits = head.iter().filter(|b| b.is_ascii_digit()).count();
    let is_seconds = digits >= 7 && line.get(stamp) == Some(&b']') && head.contains(&b'.');
    digits >= 6 && (colons >= 2 || colons == 1 && dashes >= 1) || is_seconds
}

/// `[INFO]`, `ERROR:`, `WARN `, `E/Tag(12)`.
fn begins_with_level(line: &str) -> bool {
    let bytes = line.as_bytes();
    if bytes.len() > 3 && b"VDIWEF".contains(&bytes[0]) && bytes[1] == b'/' {
        // Logcat: the tag ends with a process number or a colon.
        return bytes.iter().take(50).any(|b| matches!(b, b'(' | b':')) && !line[2..].starts_with(' ');
    }
    let end = bytes.iter().take(10).position(|b| !b.is_ascii_uppercase()).unwrap_or(0);
    matches!(&line[..end], "INFO" | "WARN" | "WARNING" | "DEBUG" | "TRACE" | "ERROR" | "FATAL" | "SEVERE" | "NOTICE")
        && (matches!(bytes[end], b']' | b'|') || matches!(bytes[end], b' ' | b'\t' | b':') && end < 5 || end >= 4)
        && !(bytes[end] == b' ' && line[end + 1..].starts_with(|c: char| c.is_ascii_lowercase()))
}

/// `Jan 12 10:11:12`, `Mon Jan 12 10:11:12`.
fn begins_with_month(line: &str) -> bool {
    const NAMES: &[&str] = &[
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Mon", "Tue", "Wed", "Thu",
        "Fri", "Sat", "Sun",
    ];
    let bytes = line.as_bytes();
    bytes.len() > 15
        && bytes[3] == b' '
        && NAMES.iter().any(|name| line.starts_with(name))
        && bytes[..bytes.len().min(24)].windows(3).filter(|w| w[0].is_ascii_digit() && w[1] == b':').count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_prose() {
        for line in [
            "When I open the settings (any tab), the app crashes.",
            "1. Open the app and go to Settings > Account",
            "The following code causes a crash when swiping the table up and down.",
            "10:30 is when it broke",
            "INFO that might help: we use two accounts",
            "アプリがクラッシュします。",
            "In the Ti.UI.TableView the row's height is wrong after setData()",
            "e.g. on my phone; on the tablet it works",
            "May I have an answer as to why this is?",
        ] {
            assert_eq!(guess(line, 0), Guess::Prose, "{line}");
        }
    }

    #[test]
    fn programs_lines_are_told_by_their_looks() {
        for (line, zone) in [
            ("var win = Ti.UI.createWindow({", Zone::Code),
            ("    backgroundColor : '#fff'});", Zone::Code),
            ("});", Zone::Code),
            ("// create the window", Zone::Code),
            ("08-16 09:31:41.133: E/MessageQueue-JNI(8879): java.lang.Foo", Zone::Log),
            ("[INFO]  Running dexer: /usr/bin/java", Zone::Log),
            ("2024-01-02T10:11:12.123Z WARN pool: closed", Zone::Log),
            ("Jan 12 10:11:12 host kernel: oops", Zone::Log),
            ("[ 1338.583575] ASIX USB", Zone::Log),
            ("E/AndroidRuntime(123): FATAL EXCEPTION", Zone::Log),
            ("fs.defaultFS=hdfs://a", Zone::Config),
            ("  Node.js Version             = 10.16.0", Zone::Config),
            ("<property name=\"a\">x</property>", Zone::Config),
            ("\"version\": \"1.2\",", Zone::Config),
            ("\tat com.acme.Main.run(Main.java:12)", Zone::Trace),
            ("  File \"/srv/app/main.py\", line 12, in run", Zone::Trace),
        ] {
            let trimmed = line.trim_start();
            assert_eq!(guess(trimmed, line.len() - trimmed.len()), Guess::Sure(zone), "{line}");
        }
    }
}
