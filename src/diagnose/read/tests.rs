//! What the readers make of both formats, good and bad.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::diagnose::model::{Parent, Span, Traces};

const JAEGER: &str = r#"{"data":[{"traceID":"4bf92f3577b34da6a3ce929d0e0e0001","spans":[
  {"traceID":"4bf92f3577b34da6a3ce929d0e0e0001","spanID":"00000000000000aa","operationName":"GET /","references":[],"startTime":1793534400000000,
   "duration":18000,"tags":[{"key":"span.kind","type":"string","value":"server"},{"key":"http.response.status_code","type":"int64","value":200},
   {"key":"gold","type":"bool","value":true},{"key":"share","type":"float64","value":0.5},{"key":"otel.scope.name","type":"string","value":"s"}],
   "logs":[{"timestamp":1,"fields":[]}],"processID":"p1","warnings":null},
  {"traceID":"4bf92f3577b34da6a3ce929d0e0e0001","spanID":"00000000000000bb","operationName":"caf\u00e9","references":[
   {"refType":"FOLLOWS_FROM","traceID":"4bf92f3577b34da6a3ce929d0e0e0002","spanID":"00000000000000cc"},
   {"refType":"CHILD_OF","traceID":"4bf92f3577b34da6a3ce929d0e0e0001","spanID":"00000000000000aa"}],"startTime":1793534400001000,
   "duration":2000,"tags":[{"key":"error","type":"bool","value":true}],"logs":null,"processID":"p2","warnings":["odd"]}],
 "processes":{"p1":{"serviceName":"shop","tags":[{"key":"host.name","type":"string","value":"laptop"}]},"p2":{"serviceName":"till"}},"warnings":null}],
 "total":0,"limit":0,"offset":0,"errors":null}"#;

const OTLP: &str = r#"{"resourceSpans":[
 {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"laptop"}}]},
  "scopeSpans":[{"scope":{"name":"s"},"spans":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e0001","spanId":"00000000000000aa","name":"GET /","kind":2,
   "startTimeUnixNano":"1793534400000000000","endTimeUnixNano":"1793534400018000000","attributes":[
   {"key":"http.response.status_code","value":{"intValue":"200"}},{"key":"gold","value":{"boolValue":true}},
   {"key":"share","value":{"doubleValue":0.5}}],"events":[{"name":"e"}],"status":{}}]}]},
 {"scopeSpans":[{"spans":[{"traceId":"4BF92F3577B34DA6A3CE929D0E0E0001","spanId":"00000000000000bb","parentSpanId":"00000000000000aa","name":"caf\u00e9",
   "startTimeUnixNano":1793534400001000000,"endTimeUnixNano":1793534400003000000,"status":{"code":2,"message":"m"}}]}],
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"till"}}]}}]}"#;

fn read(bytes: &[u8]) -> (Outcome, Traces) {
    let mut builder = Builder::default();
    let outcome = json(bytes, &mut builder).unwrap();
    (outcome, builder.finish())
}

fn whole(bytes: &[u8]) -> Traces {
    let (outcome, traces) = read(bytes);
    assert_eq!(outcome, Outcome::default());
    traces
}

/// Everything that a span says, as text.
fn told(traces: &Traces) -> Vec<String> {
    let text = |of| traces.texts.get(of);
    let pairs =
        |pairs: &[(Text, Text)]| pairs.iter().map(|(key, value)| format!("{}={}", text(*key), text(*value))).collect::<Vec<_>>();
    let tell = |id: u128, span: &Span| {
        let resource = &traces.resources[span.resource as usize];
        let Span { id: span_id, parent, start, end, kind, status, .. } = span;
        format!(
            "{id:x} {span_id:x} {parent:?} {start}..{end} {kind:?} {status:?} {} {} {:?} {:?}",
            text(resource.service),
            text(span.operation),
            pairs(&resource.attributes),
            pairs(traces.attributes(span))
        )
    };
    (0..traces.len()).flat_map(|trace| traces.of(trace).iter().map(move |span| tell(traces.id(trace).0, span))).collect()
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One trace in Jaeger's JSON with these spans.
fn jaeger(spans: &str) -> String {
    format!(r#"{{"data":[{{"traceID":"1","spans":[{spans}],"processes":{{"p":{{"serviceName":"s","tags":[]}}}}}}]}}"#)
}

fn span(id: &str, more: &str) -> String {
    format!(
        r#"{{"traceID":"1","spanID":"{id}","operationName":"o","startTime":1793534400000000,"duration":5,"processID":"p"{more}}}"#
    )
}

#[test]
fn both_formats_say_the_same() {
    let expected = [
        "4bf92f3577b34da6a3ce929d0e0e0001 aa Root 1793534400000000000..1793534400018000000 Server Unset shop GET / \
         [\"host.name=laptop\"] [\"http.response.status_code=200\", \"gold=true\", \"share=0.5\"]",
        "4bf92f3577b34da6a3ce929d0e0e0001 bb Span(0) 1793534400001000000..1793534400003000000 Unspecified Error till café [] []",
    ];
    assert_eq!(told(&whole(JAEGER.as_bytes())), expected);
    assert_eq!(told(&whole(OTLP.as_bytes())), expected);
}

#[test]
fn what_it_is_shows_when_it_is_read() {
    let expected = told(&whole(JAEGER.as_bytes()));
    let trace = &JAEGER[JAEGER.find(r#"{"traceID""#).unwrap()..JAEGER.rfind("],\n").unwrap()];
    let one_line = OTLP.replace('\n', "");
    let (first, second) = one_line.split_at(one_line.find(r#"{"scopeSpans":[{"spans""#).unwrap());
    let lines = format!("{}]}}\n{{\"resourceSpans\":[{second}\n\n", first.trim_end().trim_end_matches(','));
    let forms = [
        ("one trace", trace.to_owned()),
        ("a list of traces", format!("[{trace}]")),
        ("an answer of API v3", format!(r#"{{"result":{OTLP}}}"#)),
        ("a line for each export", lines),
        ("a byte order mark", format!("\u{feff}{JAEGER}")),
        ("OTLP's older name of a scope", OTLP.replace("scopeSpans", "instrumentationLibrarySpans")),
    ];
    for (form, text) in forms {
        assert_eq!(told(&whole(text.as_bytes())), expected, "{form}");
        assert_eq!(told(&whole(&zipped(text.as_bytes()))), expected, "{form}, zipped");
    }
}

/// Protobuf's own printers write bytes as base64 and enumerations by name.
#[test]
fn otlp_may_be_written_by_protobufs_printers() {
    let other = OTLP
        .replace("4bf92f3577b34da6a3ce929d0e0e0001", "S/kvNXezTaajzpKdDg4AAQ==")
        .replace("00000000000000aa", "AAAAAAAAAKo=")
        .replace("\"kind\":2", "\"kind\":\"SPAN_KIND_SERVER\"")
        .replace("\"code\":2", "\"code\":\"STATUS_CODE_ERROR\"");
    assert_ne!(other, OTLP);
    assert_eq!(told(&whole(other.as_bytes())), told(&whole(OTLP.as_bytes())));
}

/// As in a pipe: nothing may depend on where a read ends.
#[test]
fn input_may_come_byte_by_byte() {
    struct Drops<'a>(&'a [u8]);
    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut into[..1])
        }
    }
    for text in [JAEGER, OTLP] {
        let mut builder = Builder::default();
        json(Drops(text.as_bytes()), &mut builder).unwrap();
        assert_eq!(told(&builder.finish()), told(&whole(text.as_bytes())));
    }
}

#[test]
fn an_input_larger_than_the_window_is_read_whole() {
    let spans: Vec<_> = (1..20_000).map(|id| span(&format!("{id:x}"), r#","tags":[{"key":"k","value":"0123456789"}]"#)).collect();
    let text = jaeger(&spans.join(" , "));
    assert!(text.len() > 2 << 20);
    assert_eq!(whole(text.as_bytes()).span_count(), 19_999);
    let large =
        jaeger(&span("1", &format!(r#","tags":[{{"key":"k","value":"{}"}},{{"key":"l","value":"kept"}}]"#, "x".repeat(3 << 20))));
    let traces = whole(large.as_bytes());
    assert_eq!(traces.attributes(&traces.spans()[0]).len(), 1, "no group of spans shares a text of megabytes");
}

#[test]
fn the_parent_is_in_the_same_trace() {
    let reference = |kind: &str, trace: &str, id: &str| format!(r#"{{"refType":"{kind}","traceID":"{trace}","spanID":"{id}"}}"#);
    let references = |all: &[String]| format!(r#","references":[{}]"#, all.join(","));
    let spans = [
        span("a", r#","references":null"#),
        span("b", &references(&[reference("FOLLOWS_FROM", "1", "a")])),
        span("c", &references(&[reference("FOLLOWS_FROM", "1", "b"), reference("CHILD_OF", "1", "a")])),
        span("d", &references(&[reference("CHILD_OF", "2", "a")])),
        span("e", r#","parentSpanID":"a""#),
        span("f", r#","parentSpanID":"0000000000000000""#),
    ];
    let traces = whole(jaeger(&spans.join(",")).as_bytes());
    let parents: Vec<_> = traces.spans().iter().map(|span| (span.id, span.parent)).collect();
    let (root, of_a) = (Parent::Root, Parent::Span(0));
    assert_eq!(parents, [(10, root), (11, of_a), (12, of_a), (13, root), (14, of_a), (15, root)]);
}

/// As with Jaeger's `FOLLOWS_FROM`.
#[test]
fn a_link_inside_the_trace_is_a_parent_where_there_is_no_other() {
    let link =
        |trace: &str| format!(r#""links":[{{"traceId":"{trace}","spanId":"00000000000000aa"}}],"spanId":"00000000000000bb""#);
    let parent = |text: &str| whole(text.as_bytes()).spans()[1].parent;
    let (trace, other) = ("4bf92f3577b34da6a3ce929d0e0e0001", "4bf92f3577b34da6a3ce929d0e0e0002");
    let linked = |trace: &str| OTLP.replace(r#""spanId":"00000000000000bb","parentSpanId":"00000000000000aa""#, &link(trace));
    assert_eq!(parent(&linked(trace).replace("4BF92F3577B34DA6A3CE929D0E0E0001", trace)), Parent::Span(0));
    assert_eq!(parent(&linked(other)), Parent::Root);
}

#[test]
fn a_failure_shows_in_many_ways() {
    let tags = |tags: &str| span("a", &format!(r#","tags":[{tags}]"#));
    let cases = [
        (r#"{"key":"error","value":true}"#, Status::Error),
        (r#"{"key":"error","value":"true"}"#, Status::Error),
        (r#"{"key":"error","value":false}"#, Status::Unset),
        (r#"{"key":"otel.status_code","value":"ERROR"}"#, Status::Error),
        (r#"{"key":"otel.status_code","value":"OK"}"#, Status::Ok),
        (r#"{"key":"http.status_code","value":503},{"key":"span.kind","value":"server"}"#, Status::Error),
        (r#"{"key":"http.response.status_code","value":"500"},{"key":"span.kind","value":"server"}"#, Status::Error),
        (r#"{"key":"http.status_code","value":404},{"key":"span.kind","value":"server"}"#, Status::Unset),
        (r#"{"key":"http.status_code","value":503},{"key":"span.kind","value":"client"}"#, Status::Unset),
    ];
    for (text, status) in cases {
        let traces = whole(jaeger(&tags(text)).as_bytes());
        assert_eq!(traces.spans()[0].status, status, "{text}");
    }
}

#[test]
fn values_of_any_type_are_texts() {
    let value = |value: &str| OTLP.replace(r#"{"intValue":"200"}"#, value);
    let cases = [
        (r#"{"arrayValue":{"values":[{"stringValue":"a"},{"intValue":"1"}]}}"#, r#"["a",1]"#),
        (r#"{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":false}}]}}"#, r#"{"k":false}"#),
        (r#"{"bytesValue":"AP8="}"#, "AP8="),
        (r#"{"intValue":-7}"#, "-7"),
        (r#"{"stringValue":"a\"b"}"#, "a\"b"),
    ];
    for (json, text) in cases {
        let traces = whole(value(json).as_bytes());
        let (_, found) = traces.attributes(&traces.spans()[0])[0];
        assert_eq!(traces.texts.get(found), text);
    }
    assert_eq!(whole(value(r#"{}"#).as_bytes()).attributes(&whole(value("null").as_bytes()).spans()[0]).len(), 2);
}

#[test]
fn keys_whose_values_hardly_repeat_are_given_up_for_all_spans() {
    let tag = |at: usize| format!(r#","tags":[{{"key":"port","value":{at}}},{{"key":"customer","value":{}}}]"#, at % 900);
    let spans: Vec<_> = (0..5_000).map(|at| span(&format!("{:x}", at + 1), &tag(at))).collect();
    let traces = whole(jaeger(&spans.join(",")).as_bytes());
    assert_eq!(traces.unkept, ["port"]);
    for span in traces.spans() {
        let [(key, value)] = *traces.attributes(span) else { panic!("{span:?}") };
        assert_eq!((traces.texts.get(key), traces.texts.get(value)), ("customer", &*((span.id - 1) % 900).to_string()));
    }
    assert!(traces.texts.len() < 2_100, "{} texts", traces.texts.len());
}

#[test]
fn times_in_another_unit_are_taken_for_what_they_are_and_noted() {
    for (start, duration) in [(1_793_534_400_000_u64, 18), (1_793_534_400_000_000_000, 18_000_000)] {
        let text = JAEGER.replace("1793534400000000", &start.to_string()).replace("18000,", &format!("{duration},"));
        let traces = whole(text.as_bytes());
        assert_eq!(traces.noted.values().sum::<u64>(), 1);
        let span = traces.spans().iter().find(|span| span.id == 0xaa).unwrap();
        assert_eq!((span.start, span.duration()), (1_793_534_400_000_000_000, 18_000_000));
    }
    let micro = OTLP.replace("000000\"", "000\"");
    assert_eq!(whole(micro.as_bytes()).spans()[0].duration(), 18_000_000);
}

#[test]
fn starts_that_make_no_sense_are_left_out_and_those_made_by_hand_are_not() {
    let reasons = |traces: &Traces| traces.left_out.clone().into_iter().collect::<Vec<_>>();
    let zero = OTLP.replace("\"startTimeUnixNano\":\"1793534400000000000\"", "\"startTimeUnixNano\":\"0\"");
    assert_eq!(reasons(&whole(zero.as_bytes())), [(NO_TIME, 1)]);
    for start in ["-5", "99999999999999999999999", "1e300"] {
        let text = jaeger(&span("a", "")).replace("1793534400000000", start);
        assert_eq!(reasons(&whole(text.as_bytes())), [(NO_TIME, 1)], "{start}");
    }
    let hand = jaeger(&span("a", "")).replace("1793534400000000", "0");
    assert_eq!((whole(hand.as_bytes()).spans()[0].start, whole(hand.as_bytes()).spans()[0].duration()), (0, 5_000));
}

#[test]
fn what_was_whole_before_the_input_breaks_off_is_used() {
    let text = JAEGER.replace("1793534400001000", "17935344000");
    let two = format!("{},{}", &text[..text.rfind("],\n").unwrap()], &text[text.find(r#"{"traceID""#).unwrap()..])
        .replacen("0e0e0001", "0e0e0007", 3);
    assert_eq!(whole(two.as_bytes()).len(), 2);
    let cut = &two[..two.rfind("\"processes\"").unwrap() - 100];
    for bytes in [cut.as_bytes().to_vec(), zipped(two.as_bytes())[..400].to_vec()] {
        let mut builder = Builder::default();
        let outcome = json(&bytes[..], &mut builder);
        if bytes.starts_with(b"{") {
            let outcome = outcome.unwrap();
            assert_eq!(outcome.broken.unwrap(), format!("it ends early, after {} bytes", cut.len()));
            let traces = builder.finish();
            assert_eq!(traces.len(), 1, "a part of the second one would pass for a whole one");
            assert_eq!(traces.left_out.into_iter().collect::<Vec<_>>(), [(REST, 1), (CUT_OFF, 1)]);
        } else {
            assert!(outcome.unwrap().broken.unwrap().starts_with("it ends early"));
        }
    }
}

#[test]
fn one_span_that_makes_no_sense_costs_no_other() {
    for bad in [
        r#"{"traceID":{},"spanID":"x","startTime":"soon"}"#,
        r#""span""#,
        "null",
        "[1,2]",
        r#"{"traceID":"1","spanID":"c","startTime":5,"duration":5,"tags":7}"#,
    ] {
        let traces = whole(jaeger(&[span("a", ""), bad.to_owned(), span("b", "")].join(",")).as_bytes());
        assert_eq!((traces.span_count(), traces.left_out.values().sum::<u64>()), (2, 1), "{bad}");
    }
    let mut bytes = jaeger(&[span("a", ""), span("b", "")].join(",")).into_bytes();
    let at = bytes.windows(3).position(|bytes| bytes == b"\"o\"").unwrap();
    bytes[at + 1] = 0xff;
    let traces = whole(&bytes);
    assert_eq!((traces.span_count(), traces.texts.find("\u{fffd}").is_some()), (2, true), "what is no UTF-8 is shown as such");
}

#[test]
fn what_is_no_traces_is_an_error_that_says_what_it_is() {
    let error = |bytes: &[u8]| format!("{:#}", json(bytes, &mut Builder::default()).unwrap_err());
    assert_eq!(error(b""), "it is empty");
    assert_eq!(error(b" \n\t"), "it is empty");
    assert_eq!(error(b"<!DOCTYPE html><html>"), "it is not JSON: it begins with \"<!DOCTYPE html><html\"");
    assert!(error(b"\x7fELF\x02\x01\x01").starts_with("it is not JSON: it begins with"));
    for text in ["{}", "[]", "[1,2]", r#"{"a":[1]}"#] {
        assert!(error(text.as_bytes()).starts_with("it is JSON, but holds no traces"), "{text}");
    }
    assert!(error(b"{\"a\":").starts_with("it is not JSON: it ends early"));
    assert!(error(&zipped(b"")).starts_with("it is empty"));
    assert!(error(&[0x1f, 0x8b, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]).contains("cannot be read"));
    assert!(error(&[0x1f, 0x8b]).starts_with("it is not JSON: it ends early"), "{}", error(&[0x1f, 0x8b]));
}

/// Envelopes inside envelopes would take the stack, were they followed.
#[test]
fn depth_is_bounded() {
    for open in ["{\"data\":[", "{\"result\":", "[", "{\"x\":"] {
        let deep = open.repeat(200_000);
        let _ = json(deep.as_bytes(), &mut Builder::default());
    }
    let deep = OTLP.replace(r#"{"intValue":"200"}"#, &r#"{"arrayValue":{"values":["#.repeat(5_000));
    let _ = json(deep.as_bytes(), &mut Builder::default());
}

#[test]
fn an_answer_without_traces_says_why() {
    let (outcome, traces) =
        read(br#"{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}"#);
    assert_eq!((outcome.refusal.as_deref(), traces.len()), (Some("trace not found"), 0));
    let (outcome, _) = read(br#"{"error":{"httpCode":404,"message":"No traces found"}}"#);
    assert_eq!(outcome.refusal.as_deref(), Some("No traces found"));
}
