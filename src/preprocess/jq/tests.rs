//! What programs make of values, where they are refused, and that none runs away.

use super::*;

const BOUNDS: JqBounds = JqBounds { outputs: 10, bytes: 1 << 20 };

/// Runs on a stack as workers have it.
fn on_a_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, work).expect("a thread").join().expect("no panic")
    })
}

/// The outputs of a program, or why there are none.
fn run(program: &str, input: &str) -> Result<Vec<String>, JqEnd> {
    run_within(program, input, BOUNDS)
}

fn run_within(program: &str, input: &str, bounds: JqBounds) -> Result<Vec<String>, JqEnd> {
    on_a_large_stack(|| {
        let program = JqProgram::compile(program).unwrap_or_else(|fault| panic!("{program}: {fault:?}"));
        let (mut out, mut ends) = (b"before".to_vec(), vec![6]);
        let ended = program.run(input.as_bytes(), &mut out, &mut ends, bounds);
        if ended.is_err() {
            assert_eq!((&out[..], &ends[..]), (&b"before"[..], &[6][..]), "nothing stays of outputs that do not count");
        }
        ended?;
        Ok(ends.windows(2).map(|pair| String::from_utf8(out[pair[0]..pair[1]].to_vec()).expect("UTF-8")).collect())
    })
}

#[test]
fn outputs_are_json_in_order() {
    let rows: [(&str, &str, &[&str]); 25] = [
        (".", r#"{"b":1,"a":{"z":[ ],"y":""}}"#, &[r#"{"b":1,"a":{"z":[],"y":""}}"#]),
        (".[]", "[1,[2],null]", &["1", "[2]", "null"]),
        ("empty", "{}", &[]),
        ("{id, total: (.price * .qty)}", r#"{"id":7,"price":1.5,"qty":2}"#, &[r#"{"id":7,"total":3.0}"#]),
        (".a, .b", r#"{"a":1}"#, &["1", "null"]),
        (
            ". as $r | .items[] | {id: $r.id, sku}",
            r#"{"id":1,"items":[{"sku":"a"},{"sku":"b"}]}"#,
            &[r#"{"id":1,"sku":"a"}"#, r#"{"id":1,"sku":"b"}"#],
        ),
        ("select(.n > 1)", r#"{"n":1}"#, &[]),
        // The digits of numbers that nobody computes with.
        (
            "[.[]]",
            "[12345678901234567890123,1.10,1e3,0.1000,1.5E-7,-7,-0.0]",
            &["[12345678901234567890123,1.10,1e3,0.1000,1.5E-7,-7,-0.0]"],
        ),
        (".n + 1", r#"{"n":12345678901234567890123}"#, &["12345678901234567890124"]),
        ("[nan, 1e2 + 0.5]", "{}", &["[null,100.5]"]),
        (".[0]", r#"["a\"\\\u0001\u00e9\ud83d\ude00\u007f"]"#, &["\"a\\\"\\\\\\u0001é😀\u{7f}\""]),
        (".", r#"{"a":1,"b":2,"a":3}"#, &[r#"{"a":3,"b":2}"#]),
        ("tonumber", "\"1.50\"", &["1.50"]),
        ("[(1,2) * (10,100)]", "{}", &["[10,20,100,200]"]),
        ("[(1,2) + (10,100)], (.a += 2)", "{}", &["[11,12,101,102]", r#"{"a":2}"#]),
        (".n *= 3 | .s *= 2", r#"{"n":2,"s":"ab"}"#, &[r#"{"n":6,"s":"abab"}"#]),
        (". * {b: {c: 2}}", r#"{"a":1,"b":{"d":1}}"#, &[r#"{"a":1,"b":{"d":1,"c":2}}"#]),
        ("[range(3)], [range(1;7;2)], [limit(3; repeat(1))]", "{}", &["[0,1,2]", "[1,3,5]", "[1,1,1]"]),
        ("def f: if . > 3 then . else (. + 1 | f) end; f", "0", &["4"]),
        ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; fac", "30", &["265252859812191058636308480000000"]),
        ("[recurse(if . < 3 then . + 1 else empty end)]", "0", &["[0,1,2,3]"]),
        ("walk(if type == \"number\" then . + 1 else . end)", "[1,[2]]", &["[2,[3]]"]),
        ("(.. | select(type == \"number\")) |= . + 1", "[1,[2]]", &["[2,[3]]"]),
        ("try error(\"x\") catch .", "1", &["\"x\""]),
        (
            ".[0] | test(\"^a+$\"), ascii_upcase, @base64, (\"2026-01-02T03:04:05Z\" | fromdate)",
            "[\"aa\"]",
            &["true", "\"AA\"", "\"YWE=\"", "1767323045"],
        ),
    ];
    for (program, input, outputs) in rows {
        let outputs: Vec<String> = outputs.iter().map(|output| (*output).to_owned()).collect();
        assert_eq!(run(program, input), Ok(outputs), "{program} {input}");
    }
}

#[test]
fn what_fails_says_why_and_has_no_outputs() {
    for (program, input, part) in [
        ("1, error(\"no good\")", "{}", "no good"),
        (".a.b", r#"{"a":"text"}"#, "cannot index"),
        ("1 / 0", "{}", "infinite"),
        (".a + 1", r#"{"a":{}}"#, "cannot calculate"),
        ("infinite", "{}", "infinite"),
        ("{(.a): 1}", r#"{"a":7}"#, "whose name is no text"),
        ("@base64d | tobytes", "\"AAAA\"", "bytes"),
        ("error(\"x\" * 2000)", "{}", "xxx"),
        ("match(\"(?:(a)|(b))*\") | empty, error(\"none\")", "\"ba\"", "n"),
        ("fromjson", "7", "only a text"),
        ("fromjson", "\"[1,\"", "no JSON"),
        (".a += {}", r#"{"a":1}"#, "cannot calculate"),
    ] {
        match run(program, input) {
            Err(JqEnd::Failed(message)) => {
                assert!(message.contains(part) && message.len() <= MESSAGE_BYTES, "{program}: {message}");
            }
            other => panic!("{program}: {other:?}"),
        }
    }
}

#[test]
fn no_program_runs_away() {
    use JqEnd::{TooDeep, TooManyBytes, TooManyOutputs, TooManySteps};
    let mut faults = Vec::new();
    for (program, end) in [
        ("repeat(1)", TooManyOutputs),
        ("range(1e18)", TooManyOutputs),
        (".[], .[]", TooManyOutputs),
        ("range(0; 1; 0)", TooManyOutputs),
        ("last(range(1e15))", TooManySteps),
        ("first(range(0; 1; 0) | select(. > 0))", TooManySteps),
        ("until(false; .)", TooManySteps),
        ("try until(false; .) catch 1", TooManySteps),
        ("def f: f; f", TooManySteps),
        ("[range(1000) | range(1000) | empty]", TooManySteps),
        ("reduce range(100000) as $i (0; 1)", TooManySteps),
        ("def f(g): g + f(g + g); f(1)", TooDeep),
        ("[range(1000)] | .[] as $a | .[] as $b | .[] as $c | empty", TooManySteps),
        (
            "(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|empty",
            TooManySteps,
        ),
        ("def f: 1 + f; f", TooDeep),
        ("def f: def g: 1 + f; g; f", TooDeep),
        ("reduce range(2000) as $i (0; [.])", TooDeep),
        ("[limit(1e9; repeat(1))]", TooManyBytes),
        ("[while(true; .)]", TooManyBytes),
        ("[recurse(.)] | length", TooManyBytes),
        ("reduce range(60) as $i (\"xxxxxxxx\"; . + .)", TooManyBytes),
        ("def d: . + .; \"xxxxxxxx\" | d|d|d|d|d|d|d|d|d|d|d|d|d|d|d|d|d|d|d|d | length", TooManyBytes),
        (
            "[1,2] | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | .+. | 1",
            TooManyBytes,
        ),
        ("\"xxxxxxxx\" | reduce range(60) as $i (.; . += .)", TooManyBytes),
        ("\"x\" * 1000000000000", TooManyBytes),
        ("1000000000000 * \"x\"", TooManyBytes),
        ("{s: \"x\"} | .s *= 1000000000000", TooManyBytes),
        ("\"x\" * 100000000000000000000000000", TooManyBytes),
        ("[range(400000)]", TooManyBytes),
        ("\"x\" * 1000000 | ., .", TooManyBytes),
        // What is nested in a loop is dropped level by level.
        ("reduce range(49000) as $i (0; [.]) | 1", TooManyBytes),
    ] {
        let ended = run(program, "[1,2,3,4,5,6,7]");
        if ended != Err(end.clone()) {
            faults.push(format!("{program}: {end:?}, {:?}", ended.map(|all| all.len())));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// With memory for all their turns: what is nested in a loop is walked, compared, printed and dropped level by level.
#[test]
fn what_loops_nest_fits_on_the_stack() {
    let bounds = JqBounds { bytes: 256 << 20, ..BOUNDS };
    for program in [
        "reduce range(20000) as $i (0; [.]) | 1",
        "reduce range(20000) as $i (0; {a: .}) | length",
        "reduce range(20000) as $i (0; [.]) | tojson | length",
        "reduce range(20000) as $i (0; [.]) | . == [.]",
        "def f: if . > 0 then 1 + (. - 1 | f) else 0 end; 9000 | f",
    ] {
        let ended = run_within(program, "null", bounds);
        assert!(matches!(ended, Ok(_) | Err(JqEnd::TooDeep | JqEnd::TooManyBytes)), "{program}: {ended:?}");
    }
}

#[test]
fn a_text_is_read_as_json_or_fails() {
    let text = r#""{\"a\":[1.10,\"]}\\\"[\"]}""#;
    assert_eq!(run("fromjson", text), Ok(vec![r#"{"a":[1.10,"]}\"["]}"#.to_owned()]));
    assert_eq!(run("tonumber", "\"1.50\""), Ok(vec!["1.50".to_owned()]));
    let deep = |levels: usize| format!("\"{}\"", "[".repeat(levels) + &"]".repeat(levels));
    assert_eq!(run("fromjson | 1", &deep(1_024)), Ok(vec!["1".to_owned()]));
    for text in
        ["n/a", "12abc", "1,2", "0x1", "nan", "abc", "{a:2}", "[1,]", "'a'", ".5", "é", "[1]]", "", " ", "1 2", "1e"]
    {
        for program in ["fromjson", "tonumber"] {
            let ended = run(program, &serde_json::Value::from(text).to_string());
            assert!(
                matches!(&ended, Err(JqEnd::Failed(why)) if why.starts_with("no JSON: ")),
                "{program} {text}: {ended:?}"
            );
        }
    }
    assert_eq!(run("tonumber? // \"none\"", "\"n/a\""), Ok(vec!["\"none\"".to_owned()]));
    for text in [deep(1_025), deep(300_000)] {
        assert!(matches!(run("fromjson | 1", &text), Err(JqEnd::Failed(_))));
    }
}

/// A long program is no reason to end the process, and a message of a record's no line of ours.
#[test]
fn long_programs_compile_and_run_and_longer_ones_are_refused() {
    for stage in [" | .", " + 1", ", 1", " as $x | .", " | .a = 1"] {
        let program = format!("{{a: 1}} | .a{}", stage.repeat(3_000));
        let compiled = JqProgram::compile(&program).expect(stage);
        let ended = on_a_large_stack(|| compiled.run(b"1", &mut Vec::new(), &mut Vec::new(), BOUNDS));
        assert!(matches!(ended, Ok(()) | Err(_)), "{stage}");
    }
    for open in ["(", "[", "-", "{a:", "try ", "if ", "reduce ", "\"\\("] {
        let program = open.repeat(32 * 1024 / open.len());
        assert!(JqProgram::compile(&program).is_err(), "{open}");
        let longer = open.repeat(200_000);
        let fault = JqProgram::compile(&longer).expect_err(open);
        assert_eq!(fault.message, "the program is longer than 32 KiB");
    }
    let ended = run("error(\"one\\nline 9: two\\u001b[31m\\u0000\")", "1");
    assert_eq!(ended, Err(JqEnd::Failed("one line 9: two [31m ".to_owned())));
}

#[test]
fn the_deepest_record_passes() {
    let deep = format!("{}{}", "[".repeat(1_024), "]".repeat(1_024));
    assert_eq!(run(".", &deep), Ok(vec![deep.clone()]));
    assert_eq!(run("[.]", &deep), Err(JqEnd::TooDeep));
    assert_eq!(run("(.. | select(. == [])) |= 1", &deep).map(|all| all.len()), Ok(1));
}

#[test]
fn mistakes_have_their_place() {
    let mut faults = Vec::new();
    for (program, line, column, part) in [
        (".a |", 1, 5, "expected a term, found the end"),
        ("foo", 1, 1, "no function `foo`"),
        (".a | foo(1; 2)", 1, 6, "no function `foo` with 2 arguments"),
        ("$x", 1, 1, "no variable `$x`"),
        (".[", 1, 3, "closing half of `[`"),
        ("\"unterminated", 1, 14, "closing half of `\"`"),
        (".a\n  | bar", 2, 5, "no function `bar`"),
        ("import \"a\" as b; .", 1, 8, "expected the end"),
        ("input", 1, 1, "no function `input`"),
        ("[inputs]", 1, 2, "no function `inputs`"),
        ("$ENV", 1, 1, "no variable `$ENV`"),
        ("env.HOME", 1, 1, "no function `env`"),
        ("debug", 1, 1, "no function `debug`"),
        ("halt", 1, 1, "no function `halt`"),
        ("now", 1, 1, "no function `now`"),
        ("localtime", 1, 1, "no function `localtime`"),
        ("halt_error", 1, 1, "no function `halt_error`"),
        ("if . then 1", 1, 12, "expected `else` or `end`"),
        ("{a: }", 1, 5, "expected a term"),
        ("", 1, 1, "expected a term"),
        (". as [$a;] | 1", 1, 9, "expected a comma or closing bracket"),
        ("é | foo", 1, 1, "expected a token"),
        ("\"é\" | foo", 1, 7, "no function `foo`"),
        ("break $x", 1, 7, "no label `$x`"),
    ] {
        let fault = JqProgram::compile(program).expect_err(program);
        if (fault.line, fault.column) != (line, column) || !fault.message.contains(part) {
            faults.push(format!("{program}: {}:{} {}", fault.line, fault.column, fault.message));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_program_is_shared_by_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    shared(&JqProgram::compile(".").expect("a program"));
}
