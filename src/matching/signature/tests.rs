//! Signatures, traces of each language, and that two builds of one crash have one key.

use super::stack::{self, StackTrace};
use super::*;
use crate::matching::text::{self, Zone};

fn trace(text: &str) -> StackTrace {
    text::read_body(text).stack.unwrap_or_else(|| panic!("no stack found in {text}"))
}

#[track_caller]
fn check(text: &str, exception: &str, frames: &[&str]) {
    let trace = trace(text);
    assert_eq!(trace.exception.as_deref(), Some(exception));
    assert_eq!(trace.frames, frames);
}

const JAVA: &str = "The export fails with this:

java.lang.RuntimeException: export of order 4711 failed
\tat com.acme.export.Exporter$1.run(Exporter.java:88)
\tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1136)
\tat java.base/java.lang.Thread.run(Thread.java:833)
Caused by: java.io.IOException: disk is full
\tat java.base/java.io.FileOutputStream.write(Native Method)
\tat com.acme.export.Writer.lambda$flush$3(Writer.java:41)
\tat com.acme.export.Writer.flush(Writer.java:40)
\t... 12 more
";

#[test]
fn of_java_the_root_cause_counts() {
    check(JAVA, "java.io.IOException", &["com.acme.export.Writer.flush", "com.acme.export.Exporter.run"]);
}

#[test]
fn a_trace_in_logcat_is_found() {
    check(
        "It crashes.\n\
         08-16 09:31:41.133: E/AndroidRuntime(8879): java.lang.IndexOutOfBoundsException: Invalid index 12, size is 12\n\
         08-16 09:31:41.133: E/AndroidRuntime(8879): \tat java.util.ArrayList.get(ArrayList.java:304)\n\
         08-16 09:31:41.133: E/AndroidRuntime(8879): \tat com.acme.list.Rows.item(Rows.java:411)\n\
         08-16 09:31:41.133: E/AndroidRuntime(8879): \tat com.acme.list.Rows$4.onFling(Rows.java:1187)",
        "java.lang.IndexOutOfBoundsException",
        &["com.acme.list.Rows.item", "com.acme.list.Rows.onFling"],
    );
}

#[test]
fn of_python_the_nearest_call_is_the_last() {
    check(
        "Traceback (most recent call last):\n  File \"/srv/acme/run.py\", line 12, in main\n    export(order)\n  \
         File \"/srv/acme/export.py\", line 40, in export\n    json.dump(order, file)\n  \
         File \"/usr/lib/python3.11/json/__init__.py\", line 179, in dump\n    for chunk in iterable:\n\
         TypeError: Object of type set is not JSON serializable",
        "TypeError",
        &["export.py:export", "run.py:main"],
    );
}

#[test]
fn of_javascript_modules_of_others_go_and_nameless_functions_go_by_their_file() {
    check(
        "TypeError: Cannot read properties of undefined (reading 'rows')\n    \
         at Table.render (https://app.acme.example/static/js/main.3f2a9b1c.js:2:10332)\n    \
         at https://app.acme.example/static/js/main.3f2a9b1c.js:2:99\n    \
         at commitRoot (https://app.acme.example/node_modules/react-dom/index.js:1:1)\n    \
         at async Object.start (/srv/acme/server.js:10:5)\n    \
         at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
        "TypeError",
        &["Table.render", "main.js", "start"],
    );
    check(
        "Error: boom\nrender@https://app.acme.example/main.js:2:1\nstart@https://app.acme.example/main.js:9:1",
        "Error",
        &["render", "start"],
    );
}

#[test]
fn of_dot_net_the_inner_exception_and_the_real_method_count() {
    check(
        "System.AggregateException: One or more errors occurred. ---> System.TimeoutException: too slow\n   \
         at Acme.Export.Writer.<FlushAsync>d__12.MoveNext() in C:\\src\\Writer.cs:line 40\n   \
         at System.Runtime.CompilerServices.TaskAwaiter.ThrowForNonSuccess(Task task)\n   \
         at Acme.Export.Job`1.Run[T](String name, Int32 count) in C:\\src\\Job.cs:line 8",
        "System.TimeoutException",
        &["Acme.Export.Writer.FlushAsync", "Acme.Export.Job.Run"],
    );
}

#[test]
fn of_rust_hashes_and_closures_go() {
    check(
        "thread 'main' panicked at src/writer.rs:40:9:\nindex out of bounds: the len is 3 but the index is 7\n\
         stack backtrace:\n   0: rust_begin_unwind\n             at /rustc/90b35a6/library/std/src/panicking.rs:645:5\n   \
         1: core::panicking::panic_fmt\n             at /rustc/90b35a6/library/core/src/panicking.rs:72:14\n   \
         2: acme::writer::flush::{{closure}}::h0123456789abcdef\n             at ./src/writer.rs:40:9\n   \
         3: <acme::job::Job<T> as acme::Run>::run\n             at ./src/job.rs:8:5",
        "panic",
        &["acme::writer::flush", "acme::job::Job::run"],
    );
}

#[test]
fn of_go_the_function_stands_above_its_place() {
    check(
        "panic: runtime error: index out of range [7] with length 3\n\ngoroutine 1 [running]:\n\
         github.com/acme/app/export.(*Writer).Flush(0xc000012345, 0x3)\n\t/srv/app/export/writer.go:40 +0x1d\n\
         github.com/acme/app/export.Run.func1()\n\t/srv/app/export/run.go:8 +0x2f\n\
         runtime.main()\n\t/usr/local/go/src/runtime/proc.go:267 +0x2bb",
        "panic",
        &["export.Writer.Flush", "export.Run"],
    );
}

#[test]
fn of_apple_s_reports_the_app_s_own_library_counts() {
    check(
        "*** Terminating app due to uncaught exception 'NSInvalidArgumentException', reason: '-[NSNull length]'\n\
         0   CoreFoundation   0x000000018a1c2d8c __exceptionPreprocess + 164\n\
         1   libobjc.A.dylib  0x000000018943c0a4 objc_exception_throw + 60\n\
         2   Acme             0x0000000102f4c1a0 -[AcmeWriter flush:] + 123\n\
         3   Acme             0x0000000102f4c2a0 __22-[AcmeWriter startWith:]_block_invoke + 44\n\
         4   Acme             0x0000000102f4c3a0 closure #1 in Exporter.run(order:) + 12\n\
         5   UIKitCore        0x000000018c0a1234 UIApplicationMain + 340",
        "NSInvalidArgumentException",
        &["AcmeWriter flush:", "AcmeWriter startWith:", "Exporter.run"],
    );
}

#[test]
fn two_builds_of_one_crash_have_one_key() {
    let key = |text: &str| Signature::of_stack(None, &trace(text));
    let other = JAVA
        .replace("Exporter$1", "Exporter$2")
        .replace(":88)", ":91)")
        .replace("lambda$flush$3", "lambda$flush$4")
        .replace("4711", "4712");
    assert_eq!(key(JAVA), key(&other));
    assert!(key(JAVA).is_some());
    assert_ne!(key(JAVA), key(&JAVA.replace("Writer.flush", "Writer.close")));
    assert_ne!(key(JAVA), key(&JAVA.replace("IOException", "EOFException")));
}

#[test]
fn a_trace_of_nothing_but_a_runtime_needs_an_exception() {
    let frames = "\tat java.util.A.a(A.java:1)\n\tat java.util.B.b(B.java:1)\n\tat java.util.C.c(C.java:1)";
    assert!(!trace(&format!("it printed\n{frames}")).is_distinctive());
    assert!(trace(&format!("java.lang.StackOverflowError\n{frames}")).is_distinctive());
}

#[test]
fn sentences_are_no_frames() {
    for line in [
        "at home (on my phone) it works",
        "at 10:30 it broke",
        "1. Open the app",
        "#3 in the list is missing",
        "from the menu: in the app",
        "mail me at ada@example.org",
        "Caused by a restart",
        "File \"a.txt\" is missing",
    ] {
        assert!(!stack::is_frame(line), "{line}");
    }
    let prose = text::read_body("At startup (after the update) the app crashes.\nat home too").tokens;
    assert!(prose.iter().all(|token| token.zone == Zone::Prose));
}

#[test]
fn a_signature_reads_back_from_its_bytes() {
    let signature = Signature::of_text(Some(ProductId::new()), "a", "b");
    assert_eq!(Signature::from_bytes(&signature.to_bytes()), Some(signature));
    assert_eq!(Signature::from_bytes(&signature.to_bytes()[1..]), None);
    assert_eq!(Signature::from_bytes(&[]), None);
}

#[test]
fn product_kind_and_borders_all_count() {
    let (one, other) = (Some(ProductId::new()), Some(ProductId::new()));
    let all = [
        Signature::of_text(one, "a", "b"),
        Signature::of_text(other, "a", "b"),
        Signature::of_text(None, "a", "b"),
        Signature::of_text(one, "ab", ""),
        Signature::of_fingerprint(one, "a"),
        Signature::of_text(one, "a", ""),
    ];
    for (at, left) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|right| left != right), "{left} twice");
    }
}
