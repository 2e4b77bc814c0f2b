//! A trace in a few numbers, as API v3 summarizes it; zeros and empty texts are left out.

use std::collections::BTreeMap;

use super::segment::Segment;
use super::view::OpenTrace;
use crate::backend::attribute::list;
use crate::backend::json;

pub(super) fn write(segment: &Segment, trace: &OpenTrace, out: &mut Vec<u8>) {
    let (mut start, mut end, mut errors, mut orphans) = (u64::MAX, 0, 0u64, 0u64);
    let mut root: Option<super::record::Span<'_>> = None;
    let mut services: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
    for &record in &trace.records {
        let span = segment.span(record);
        start = start.min(span.start);
        end = end.max(span.end());
        let failed = u64::from(span.status() == 2);
        errors += failed;
        orphans += u64::from(trace.is_orphan(&span));
        let service = services.entry(segment.service_name(span.head.group)).or_default();
        service.0 += 1;
        service.1 += failed;
        // Of several roots the earliest speaks for the trace.
        if span.head.parent == 0 && root.is_none_or(|root| span.start < root.start) {
            root = Some(span);
        }
    }
    out.extend_from_slice(b"{\"traceId\":\"");
    json::hex_u64(out, trace.id.0);
    json::hex_u64(out, trace.id.1);
    out.push(b'"');
    if let Some(root) = root {
        out.extend_from_slice(b",\"rootServiceName\":");
        json::string(out, segment.service_name(root.head.group));
        out.extend_from_slice(b",\"rootOperationName\":");
        json::string(out, root.name());
    }
    out.extend_from_slice(b",\"minStartTimeUnixNano\":");
    json::quoted(out, start);
    out.extend_from_slice(b",\"maxEndTimeUnixNano\":");
    json::quoted(out, end);
    count(out, "spanCount", trace.records.len() as u64);
    count(out, "errorSpanCount", errors);
    count(out, "orphanSpanCount", orphans);
    out.extend_from_slice(b",\"services\":[");
    list(out, services.into_iter(), |out, (name, (spans, errors))| {
        out.extend_from_slice(b"{\"name\":");
        json::string(out, name);
        count(out, "spanCount", spans);
        count(out, "errorSpanCount", errors);
        out.push(b'}');
    });
    out.extend_from_slice(b"]}");
}

fn count(out: &mut Vec<u8>, name: &str, value: u64) {
    if value != 0 {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        json::unsigned(out, value);
    }
}
