//! Whose code a stack frame is, and its name without what changes from build to build.

use super::stack::{Dialect, Frame, before_arguments};

/// Modules of runtimes and frameworks, by how a frame's name begins.
const FOREIGN_NAMES: &[&str] = &[
    // JVM and Android.
    "java.",
    "javax.",
    "jdk.",
    "sun.",
    "com.sun.",
    "android.",
    "androidx.",
    "com.android.",
    "dalvik.",
    "libcore.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "groovy.",
    "clojure.",
    "jakarta.",
    "org.junit.",
    "org.springframework.",
    "org.apache.catalina.",
    "org.apache.coyote.",
    "org.apache.tomcat.",
    "org.hibernate.",
    "org.eclipse.swt.",
    "org.eclipse.jface.",
    "org.eclipse.core.",
    "org.eclipse.equinox.",
    "org.eclipse.jetty.",
    "org.osgi.",
    "org.json.",
    "org.slf4j.",
    "org.apache.log4j.",
    "org.apache.maven.",
    "org.gradle.",
    "hudson.",
    "io.netty.",
    "okhttp3.",
    "com.android.okhttp.",
    "retrofit2.",
    "reactor.",
    "io.reactivex.",
    "rx.",
    "com.google.common.",
    "com.fasterxml.",
    "com.zaxxer.",
    "org.mozilla.javascript.",
    "de.odysseus.",
    // .NET.
    "System.",
    "Microsoft.",
    "MS.",
    "Windows.",
    "Newtonsoft.",
    "Mono.",
    "Xamarin.",
    // Go.
    "runtime.",
    "net/http.",
    "net.",
    "reflect.",
    "sync.",
    "testing.",
    "syscall.",
    "internal/",
    "encoding/",
    "panic",
    // Rust.
    "std::",
    "core::",
    "alloc::",
    "tokio::",
    "futures",
    "rust_begin_unwind",
    "rust_panic",
    "__rust",
    "_start",
    "__libc_start",
    "backtrace::",
    "hyper::",
    "tower::",
    "rayon",
    "<alloc::",
    "<core::",
    "<std::",
    "clone",
    "start_thread",
    "main",
];

/// Libraries and folders of runtimes and frameworks, anywhere in a frame's place.
const FOREIGN_PLACES: &[&str] = &[
    "site-packages",
    "dist-packages",
    "/lib/python",
    "<frozen ",
    "node_modules",
    "node:",
    "internal/",
    "/gems/",
    "/ruby/",
    "/vendor/",
    "/rustc/",
    "/usr/lib/",
    "/lib/x86_64",
    "/usr/local/go/",
    "/go/pkg/mod/",
    "native code",
    "<anonymous>",
    "chrome-extension:",
    "webpack/bootstrap",
    "polyfills",
    "zone.js",
    "react-dom",
    "libc.so",
    "libpthread",
];

/// Libraries of Apple's systems, by how their names begin.
const APPLE_LIBRARIES: &[&str] = &[
    "UIKit",
    "CoreFoundation",
    "Foundation",
    "libdispatch",
    "libsystem",
    "libobjc",
    "libswift",
    "GraphicsServices",
    "dyld",
    "QuartzCore",
    "CFNetwork",
    "AppKit",
    "SwiftUI",
    "Combine",
    "WebKit",
    "WebCore",
    "JavaScriptCore",
    "CoreData",
    "CoreGraphics",
    "CoreAnimation",
    "FrontBoard",
    "BaseBoard",
    "AttributeGraph",
    "libc++",
    "libxpc",
    "Security",
    "???",
];

/// Scripts that are Node's own, which it prints without a folder.
const NODE_SCRIPTS: &[&str] = &[
    "events.js:",
    "net.js:",
    "module.js:",
    "child_process.js:",
    "timers.js:",
    "fs.js:",
    "vm.js:",
    "node.js:",
    "_stream_",
];

/// Whether a frame is of the product itself and not of a runtime or framework.
pub(super) fn is_in_app(frame: Frame<'_>) -> bool {
    let begins = |list: &[&str], text: &str| list.iter().any(|head| text.starts_with(head));
    match frame.dialect {
        Dialect::Java => !begins(FOREIGN_NAMES, without_module(frame.symbol)),
        Dialect::DotNet => !begins(FOREIGN_NAMES, frame.symbol),
        Dialect::Go | Dialect::Rust => {
            let is_main = frame.symbol.starts_with("main.") || frame.symbol.starts_with("main::");
            !frame.symbol.is_empty()
                && (is_main || !begins(FOREIGN_NAMES, frame.symbol))
                && !FOREIGN_PLACES.iter().any(|part| frame.place.contains(part))
        }
        Dialect::Native => {
            !begins(APPLE_LIBRARIES, frame.place)
                && !begins(FOREIGN_NAMES, frame.symbol)
                && !FOREIGN_PLACES.iter().any(|part| frame.place.contains(part))
        }
        Dialect::JavaScript => {
            frame.place != "native"
                && !begins(NODE_SCRIPTS, frame.place)
                && !FOREIGN_PLACES.iter().any(|part| frame.place.contains(part))
        }
        Dialect::Python | Dialect::Ruby | Dialect::Php => !FOREIGN_PLACES.iter().any(|part| frame.place.contains(part)),
    }
}

fn without_module(symbol: &str) -> &str {
    // `java.base/java.util.ArrayList.get`, `app//com.acme.Main.run`.
    symbol.rsplit_once('/').map_or(symbol, |(_, symbol)| symbol)
}

/// The name of a frame as it will be in the next build as well.
pub(super) fn name(frame: Frame<'_>) -> Option<String> {
    let symbol = match frame.dialect {
        Dialect::Java => java_name(without_module(frame.symbol)),
        Dialect::DotNet => dotnet_name(frame.symbol),
        Dialect::JavaScript => script_name(frame),
        Dialect::Python | Dialect::Ruby => {
            format!("{}:{}", file_name(frame.place), ruby_name(frame.symbol)).trim_end_matches(':').to_owned()
        }
        Dialect::Php => frame.symbol.to_owned(),
        Dialect::Go => go_name(frame.symbol),
        Dialect::Rust => rust_name(frame.symbol),
        Dialect::Native => native_name(frame.symbol, frame.place),
    };
    (!symbol.is_empty()).then_some(symbol)
}

/// Drops numbers of inner classes, lambdas and accessors: `Main$1.lambda$run$0` is `Main.run`.
fn java_name(symbol: &str) -> String {
    let mut name = String::with_capacity(symbol.len());
    for part in symbol.split('.') {
        let pieces = || part.split('$').filter(|piece| !piece.is_empty());
        let kept = pieces().filter(|piece| {
            !piece.bytes().all(|b| b.is_ascii_digit())
                && !matches!(*piece, "lambda" | "Lambda" | "access" | "static" | "EnhancerBySpringCGLIB")
                && !is_hash(piece)
        });
        for (at, piece) in kept.enumerate() {
            if !name.is_empty() {
                name.push(if at == 0 { '.' } else { '$' });
            }
            name.push_str(piece);
        }
    }
    name
}

/// `Acme.Main+<>c__DisplayClass1_0.<Run>b__0` is `Acme.Main.Run`; so is `Acme.Main.<Run>d__5.MoveNext`.
fn dotnet_name(symbol: &str) -> String {
    let mut name = String::with_capacity(symbol.len());
    for part in symbol.split(['.', '+']) {
        let part = part.split('`').next().unwrap_or(part);
        let part = part.split('[').next().unwrap_or(part);
        let part = match part.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            Some((inner, _)) => inner,
            None => part,
        };
        if part.is_empty() || part == "MoveNext" {
            continue;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(part);
    }
    name
}

/// `async Object.run [as go]` is `run`; a function without name goes by its file.
fn script_name(frame: Frame<'_>) -> String {
    let symbol = frame.symbol.split_once(" [as ").map_or(frame.symbol, |(symbol, _)| symbol);
    let symbol =
        ["async ", "new ", "Object.", "Function."].iter().fold(symbol, |s, lead| s.strip_prefix(lead).unwrap_or(s));
    let symbol = symbol.trim_end_matches("/<").trim_end_matches("/this");
    if symbol.is_empty() || symbol.contains("<anonymous>") || symbol == "anonymous" {
        let place = frame.place.split(['?', '#']).next().unwrap_or(frame.place);
        let name = file_name(place.trim_end_matches(|c: char| c.is_ascii_digit() || c == ':'));
        // Of `app.3f2a9b1c.js` the build's hash goes.
        return name.split(['.', '-']).filter(|part| !is_hash(part)).collect::<Vec<_>>().join(".");
    }
    symbol.to_owned()
}

/// `block (2 levels) in run` is `run`.
fn ruby_name(symbol: &str) -> &str {
    symbol.rsplit_once(" in ").map_or(symbol, |(_, symbol)| symbol)
}

/// `github.com/acme/app/server.(*Server).run.func1` is `server.Server.run`.
fn go_name(symbol: &str) -> String {
    let symbol = symbol.rsplit_once('/').map_or(symbol, |(_, symbol)| symbol);
    let symbol = symbol.split('[').next().unwrap_or(symbol);
    let parts = symbol.split('.').map(|part| part.trim_matches(['(', ')', '*']));
    let is_made = |part: &str| {
        part.strip_prefix("func").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
            || part.bytes().all(|b| b.is_ascii_digit())
    };
    parts.filter(|part| !part.is_empty() && !is_made(part)).collect::<Vec<_>>().join(".")
}

/// `<app::Job<T> as app::Run>::run::{{closure}}::h0123456789abcdef` is `app::Job::run`.
fn rust_name(symbol: &str) -> String {
    let symbol = match symbol.strip_prefix('<').and_then(|rest| rest.split_once(" as ")) {
        Some((own, rest)) => format!("{own}::{}", rest.rsplit_once(">::").map_or("", |(_, method)| method)),
        None => symbol.to_owned(),
    };
    without_generics(&symbol)
        .split("::")
        .map(str::trim)
        .filter(|part| {
            !part.is_empty()
                && !part.starts_with("{{")
                && !part.starts_with('{')
                && !is_hash(part.trim_start_matches('h'))
        })
        .collect::<Vec<_>>()
        .join("::")
}

fn without_generics(symbol: &str) -> String {
    let mut depth = 0_u32;
    symbol
        .chars()
        .filter(|c| {
            match c {
                '<' => depth += 1,
                '>' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && *c != '>'
        })
        .collect()
}

/// `-[Main run:]` and the block within it are `Main run:`; `closure #1 in Main.run()` is `Main.run`.
fn native_name(symbol: &str, place: &str) -> String {
    let symbol = symbol.split_once("_block_invoke").map_or(symbol, |(symbol, _)| symbol);
    if let Some((_, rest)) = symbol.split_once('[')
        && let Some((method, _)) = rest.split_once(']')
    {
        return method.to_owned();
    }
    let symbol = symbol.rsplit_once(" in ").map_or(symbol, |(_, symbol)| symbol);
    let symbol = before_arguments(symbol);
    if symbol.is_empty() || symbol.starts_with("0x") {
        return file_name(place).to_owned(); // Not symbolicated.
    }
    without_generics(symbol)
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Whether a piece of a name is a build's hash.
fn is_hash(piece: &str) -> bool {
    piece.len() >= 8 && piece.bytes().all(|b| b.is_ascii_hexdigit()) && piece.bytes().any(|b| b.is_ascii_digit())
}
