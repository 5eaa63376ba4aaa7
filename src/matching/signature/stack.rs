//! Stack traces: recognised line by line, and brought to what stays the same from one crash to the next.
//!
//! Of a trace the type of the root exception and the topmost frames of the product's own code are kept, since what a
//! runtime or framework calls is the same for many faults. Addresses, line numbers, modules, generics and the names
//! compilers give to lambdas and closures go: they change with every build.
//!
//! Knows Java and Kotlin, .NET, JavaScript, Python, Ruby, PHP, Go, Rust, and native frames as Apple's crash reports and
//! gdb print them. Frames of minified code are kept as they are; mapping them back is for whoever has the map.

use super::frame_name::{is_in_app, name};

/// Frames that make a trace's key.
const KEY_FRAMES: usize = 5;
/// Frames looked at of one trace: deeper ones are where the program started.
const MAX_FRAMES: usize = 64;

/// A stack trace, without what changes from build to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::matching) struct StackTrace {
    /// The type of the root exception.
    pub(in crate::matching) exception: Option<String>,
    /// The topmost frames of the product's own code, or of all code if there is none of its own; nearest first.
    pub(in crate::matching) frames: Vec<String>,
    /// Whether the frames are the product's own.
    pub(in crate::matching) in_app: bool,
}

impl StackTrace {
    /// Whether the trace says enough to be one problem's: two own frames, or one under a named exception, or three of
    /// a runtime under a named exception.
    pub(in crate::matching) fn is_distinctive(&self) -> bool {
        let named = self.exception.is_some();
        if self.in_app {
            self.frames.len() >= 2 || named && !self.frames.is_empty()
        } else {
            named && self.frames.len() >= 3
        }
    }
}

/// A frame as printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// The function; empty if only a place is given.
    pub(super) symbol: &'a str,
    /// The file, module or library.
    pub(super) place: &'a str,
    pub(super) dialect: Dialect,
}

/// How a language prints its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Java,
    DotNet,
    JavaScript,
    Python,
    Ruby,
    Php,
    Go,
    Rust,
    Native,
}

/// Whether a line, without the space around it, belongs to a stack trace.
pub(in crate::matching) fn is_frame(line: &str) -> bool {
    let Some(&first) = line.as_bytes().first() else { return false };
    match first {
        b'.' => line.starts_with("... ") && line.ends_with(" more"),
        b'C' => line.starts_with("Caused by: "),
        b'T' => line.starts_with("Traceback (most recent call last)"),
        b'g' => line.starts_with("goroutine ") && line.ends_with("]:"),
        b't' => line.starts_with("thread '") && line.contains("' panicked at "),
        b'-' => line.starts_with("--- End of "),
        _ => frame(line).is_some(),
    }
}

fn frame(line: &str) -> Option<Frame<'_>> {
    match line.as_bytes()[0] {
        b'a' => frame_at(line.strip_prefix("at ")?),
        b'F' => python_frame(line),
        b'f' => ruby_frame(line.strip_prefix("from ")?),
        b'/' => ruby_frame(line).or_else(|| go_place(line)),
        b'#' => numbered_frame(line),
        b'0'..=b'9' => native_frame(line),
        _ => browser_frame(line).or_else(|| go_place(line)),
    }
}

/// `at com.acme.Main.run(Main.java:12)`, `at Acme.Main.Run(String a) in Main.cs:line 12`, `at run (main.js:1:2)`.
fn frame_at(body: &str) -> Option<Frame<'_>> {
    let body = body.trim();
    let Some((symbol, rest)) = body.split_once('(').filter(|(symbol, _)| !symbol.contains("://")) else {
        // Only a place: `at /srv/app.js:1:2`, `at src/main.rs:1:2`.
        let (path, _) = body.rsplit_once(':')?;
        let is_place = ends_with_number(body) && !body.contains(' ') && path.contains(['/', '.', ':']);
        let dialect = if body.contains(".rs:") { Dialect::Rust } else { Dialect::JavaScript };
        return is_place.then_some(Frame { symbol: "", place: body, dialect });
    };
    let inside = rest.rsplit_once(')').map_or(rest, |(inside, _)| inside);
    let symbol = symbol.trim();
    let source = inside.rsplit_once(':').map_or(inside, |(file, _)| file);
    let is_java = [".java", ".kt", ".scala", ".groovy", ".clj"].iter().any(|end| source.ends_with(end))
        || matches!(inside, "Native Method" | "Unknown Source" | "<generated>");
    if is_java && !symbol.is_empty() {
        return Some(Frame { symbol, place: symbol, dialect: Dialect::Java });
    }
    let is_script = ends_with_number(inside) && inside.contains(':') && !inside.contains(", ")
        || matches!(inside, "<anonymous>" | "native" | "[native code]")
        || inside.starts_with("eval at ");
    if is_script {
        return Some(Frame { symbol, place: inside, dialect: Dialect::JavaScript });
    }
    let is_name = symbol.contains('.') && !symbol.contains(' ') && rest.contains(')');
    is_name.then_some(Frame { symbol, place: symbol, dialect: Dialect::DotNet })
}

/// `File "/srv/app/main.py", line 12, in run`.
fn python_frame(line: &str) -> Option<Frame<'_>> {
    let (place, rest) = line.strip_prefix("File \"")?.split_once("\", line ")?;
    let symbol = rest.split_once(", in ").map_or("", |(_, symbol)| symbol.trim());
    Some(Frame { symbol, place, dialect: Dialect::Python })
}

/// ``/srv/app/main.rb:12:in `run'``.
fn ruby_frame(line: &str) -> Option<Frame<'_>> {
    let (place, symbol) = line.split_once(":in ")?;
    let (place, number) = place.rsplit_once(':')?;
    let is_place = place.contains(['/', '.']) && !place.contains(' ') && number.bytes().all(|b| b.is_ascii_digit());
    is_place.then(|| Frame { symbol: symbol.trim_matches(['`', '\'', '"']), place, dialect: Dialect::Ruby })
}

/// `/srv/app/main.go:12 +0x1d`: the function stands in the line above.
fn go_place(line: &str) -> Option<Frame<'_>> {
    // Every line is asked: only its colons are looked at.
    let (end, _) = line.match_indices(':').find(|&(at, _)| line[..at].ends_with(".go"))?;
    let (place, rest) = (&line[..end - ".go".len()], &line[end + 1..]);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let is_place = digits > 0 && (digits == rest.len() || rest[digits..].starts_with(" +0x")) && !place.contains(' ');
    is_place.then_some(Frame { symbol: "", place, dialect: Dialect::Go })
}

/// `#0  0x00007f in crash () from /lib/libc.so`, `#1 /srv/app/main.php(12): Main->run()`.
fn numbered_frame(line: &str) -> Option<Frame<'_>> {
    let rest = line[1..].trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == line.len() - 1 {
        return None;
    }
    let rest = rest.strip_prefix(' ')?.trim_start();
    if let Some((place, symbol)) = rest.split_once("): ").filter(|(place, _)| place.contains(".php(")) {
        return Some(Frame { symbol: before_arguments(symbol), place, dialect: Dialect::Php });
    }
    if let Some((_, symbol)) = rest.split_once(" in ").filter(|(address, _)| address.starts_with("0x")) {
        let place = symbol.rsplit_once(" from ").map_or("", |(_, place)| place);
        return Some(Frame { symbol: before_arguments(symbol), place, dialect: Dialect::Native });
    }
    let (symbol, place) =
        rest.split_once(" (").and_then(|(symbol, rest)| Some((symbol, rest.rsplit_once(") at ")?.1)))?;
    (!symbol.contains(' ')).then_some(Frame { symbol, place, dialect: Dialect::Native })
}

/// `3   MyApp   0x0000000102f4 -[Main run:] + 123`, `12: app::main::h0123456789abcdef`.
fn native_frame(line: &str) -> Option<Frame<'_>> {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if let Some(symbol) = rest.strip_prefix(": ") {
        let symbol = symbol.trim_start();
        let symbol = symbol.split_once(" - ").filter(|(head, _)| head.starts_with("0x")).map_or(symbol, |(_, s)| s);
        let is_path = symbol.contains("::") && !symbol.contains(": ") && symbol.split(' ').count() <= 4;
        return is_path.then_some(Frame { symbol, place: symbol, dialect: Dialect::Rust });
    }
    let (place, rest) = rest.strip_prefix(' ')?.trim_start().split_once("0x")?;
    let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
    if digits < 6 || !place.ends_with([' ', '\t']) || place.trim_end().len() > 60 {
        return None;
    }
    let symbol = rest[digits..].trim_start();
    let symbol = symbol.rsplit_once(" + ").map_or(symbol, |(symbol, _)| symbol);
    Some(Frame { symbol, place: place.trim_end(), dialect: Dialect::Native })
}

/// `run@https://a.example/main.js:1:2`.
fn browser_frame(line: &str) -> Option<Frame<'_>> {
    if !line.as_bytes().last()?.is_ascii_digit() {
        return None;
    }
    let (symbol, place) = line.split_once('@')?;
    let is_frame =
        ["http", "file:", "app:", "webpack", "capacitor:", "/"].iter().any(|scheme| place.starts_with(scheme))
            && ends_with_number(place)
            && !symbol.contains(' ')
            && !place.contains(' ');
    is_frame.then_some(Frame { symbol, place, dialect: Dialect::JavaScript })
}

fn ends_with_number(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

pub(super) fn before_arguments(symbol: &str) -> &str {
    symbol.split_once('(').map_or(symbol, |(symbol, _)| symbol).trim_end()
}

// ---- exceptions ------------------------------------------------------------------------------------------------

const LEADS: &[&str] = &[
    "Caused by: ",
    "Uncaught ",
    "Unhandled exception. ",
    "Unhandled Exception: ",
    "Unhandled Rejection: ",
    "[Unhandled promise rejection: ",
    "(node) ",
];

/// The type of the exception a line begins with: `java.io.IOException: closed`, `Caused by: KeyError`.
pub(in crate::matching) fn exception(line: &str) -> Option<&str> {
    if line.starts_with("panic: ") || line.starts_with("thread '") && line.contains("' panicked at ") {
        return Some("panic");
    }
    if let Some(rest) = line.strip_prefix("*** Terminating app due to uncaught exception '") {
        return rest.split_once('\'').map(|(name, _)| name);
    }
    if let Some(rest) = line.strip_prefix("Exception Type:") {
        return rest.split_whitespace().next();
    }
    let mut rest = line;
    if let Some((_, after)) = line.strip_prefix("Exception in thread \"").and_then(|rest| rest.split_once("\" ")) {
        rest = after;
    }
    for lead in LEADS {
        rest = rest.strip_prefix(lead).unwrap_or(rest);
    }
    let outer = type_at(rest)?;
    // .NET puts the inner one last on the same line.
    Some(rest.rsplit_once("---> ").and_then(|(_, inner)| type_at(inner)).unwrap_or(outer))
}

/// The exception's type at the beginning of a text, if one ends there.
fn type_at(text: &str) -> Option<&str> {
    let end = text
        .bytes()
        .take(160)
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$')))
        .unwrap_or(text.len().min(160));
    let name = text.get(..end)?;
    let is_type = ["Exception", "Error", "Fault", "Interrupt", "Panic", "Throwable"].iter().any(|e| name.ends_with(e))
        && name.starts_with(|c: char| c.is_ascii_alphabetic());
    let rest = &text[end..];
    let ends = rest.is_empty() || rest.starts_with(':') || rest.starts_with(" (") || rest.starts_with(" {");
    (is_type && ends).then_some(name)
}

/// The type of an exception after a logger's prefix.
fn logged_exception(line: &str) -> Option<&str> {
    exception(line).or_else(|| {
        let starts = line.match_indices([' ', '\t', ':', ']']).map(|(at, _)| at + 1).take(24);
        starts.filter_map(|at| exception(&line[at..]).filter(|name| name.len() > 5)).next()
    })
}

// ---- a whole trace ---------------------------------------------------------------------------------------------

/// One exception and the frames under it.
#[derive(Debug, Default)]
struct Block<'a> {
    exception: Option<&'a str>,
    frames: Vec<Frame<'a>>,
    is_cause: bool,
}

/// Reads the first stack trace of a report from its lines, of which the ones of a person are marked: in these only an
/// exception at the very beginning counts.
pub(in crate::matching) fn read<'a>(lines: impl Iterator<Item = (&'a str, bool)>) -> Option<StackTrace> {
    let mut blocks: Vec<Block<'a>> = vec![Block::default()];
    let mut above = "";
    for (line, is_prose) in lines {
        let block = blocks.last_mut().expect("there is always a last block");
        let frame = if is_prose { None } else { logged_frame(line) };
        if let Some(frame) = frame {
            if block.frames.len() < MAX_FRAMES {
                block.frames.push(if frame.dialect == Dialect::Go {
                    Frame { symbol: go_symbol(above), ..frame }
                } else {
                    frame
                });
            }
        } else if let Some(exception) = if is_prose { exception(line) } else { logged_exception(line) } {
            let is_cause = line.contains("Caused by: ");
            let is_python = block.frames.last().is_some_and(|frame| frame.dialect == Dialect::Python);
            if is_python && block.exception.is_none() {
                block.exception = Some(exception); // It stands under its frames.
                blocks.push(Block::default());
            } else if block.frames.is_empty() && !is_cause {
                block.exception = block.exception.or(Some(exception));
            } else {
                blocks.push(Block { exception: Some(exception), is_cause, ..Block::default() });
            }
        }
        above = line;
    }
    let first = blocks.iter().position(|block| !block.frames.is_empty())?;
    let mut root = first;
    while blocks.get(root + 1).is_some_and(|block| block.is_cause) {
        root += 1;
    }
    let chain = || blocks[first..=root].iter().rev().flat_map(nearest_first);
    let own = names(chain().filter(|frame| is_in_app(*frame)));
    let in_app = !own.is_empty();
    let frames = if in_app { own } else { names(chain()) };
    let exception = blocks[root].exception.or(blocks[first].exception).map(str::to_owned);
    (!frames.is_empty()).then_some(StackTrace { exception, frames, in_app })
}

/// The names of the first frames. A lambda and the function around it count once.
fn names<'a>(frames: impl Iterator<Item = Frame<'a>>) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(KEY_FRAMES);
    for name in frames.filter_map(name) {
        if names.len() == KEY_FRAMES {
            break;
        }
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names
}

fn nearest_first<'a, 'b>(block: &'b Block<'a>) -> Box<dyn Iterator<Item = Frame<'a>> + 'b> {
    // Python prints the nearest call last.
    if block.frames.first().is_some_and(|frame| frame.dialect == Dialect::Python) {
        Box::new(block.frames.iter().rev().copied())
    } else {
        Box::new(block.frames.iter().copied())
    }
}

/// A frame, maybe behind a logger's prefix.
fn logged_frame(line: &str) -> Option<Frame<'_>> {
    if line.is_empty() {
        return None;
    }
    frame(line).or_else(|| {
        let at = ["\tat ", "   at ", ": at ", "] at "].iter().find_map(|mark| Some(line.find(mark)? + mark.len()))?;
        frame_at(&line[at..])
    })
}

/// `main.(*Server).run(0xc000, 0x1)`, `created by main.start in goroutine 1`.
fn go_symbol(line: &str) -> &str {
    let line = line.strip_prefix("created by ").unwrap_or(line);
    let line = line.split_once(" in goroutine").map_or(line, |(line, _)| line);
    let symbol = if line.ends_with(')') { line.rsplit_once('(').map_or(line, |(symbol, _)| symbol) } else { line };
    if symbol.contains(' ') { "" } else { symbol }
}
