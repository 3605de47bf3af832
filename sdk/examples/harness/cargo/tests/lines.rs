//! The plugin is linked into these tests, which may run side by side: each has a harness of its own.
mod harness;

use harness::Harness;

fn lines(config: &str) -> Harness {
    Harness::open(lines::mfdata_plugin_v1 as *const _, config).expect("the harness opens")
}

const TO_ARCHIVE: &str = "[custom]\ndest_dir = \"archive/main\"\n";

#[test]
fn lines_are_counted_and_the_file_goes_on() {
    let run = lines(TO_ARCHIVE).run(b"one\ntwo\n");
    assert_eq!(run.outcome, "ok");
    assert_eq!(run.outputs.len(), 1);
    assert_eq!(run.outputs[0].to, "archive/main");
    assert_eq!(run.outputs[0].content, b"one\ntwo\n");
    assert_eq!(run.outputs[0].tags["latest.lines.main.lines"], "2");
}

#[test]
fn without_dest_dir_it_does_not_start() {
    let run = lines("").run(b"x");
    assert_eq!(run.outcome, "not started");
    assert!(run.reason.contains("dest_dir"), "{}", run.reason);
}

#[test]
fn every_failing_call_is_noticed() {
    for number in 1.. {
        let mut harness = lines(TO_ARCHIVE);
        harness.fail(number);
        let run = harness.run(b"x\n");
        if run.failed_calls == 0 {
            assert!(number > 4);
            return;
        }
        assert_ne!(run.outcome, "ok", "call {number} failed, and the plugin went on");
    }
}
