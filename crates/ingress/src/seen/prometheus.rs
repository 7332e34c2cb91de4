//! The operator's endpoint in the text format of Prometheus: a fixed set of series for each service, a bounded number of
//! services. Labels are ids of services, never hosts or paths: nothing that a visitor can invent becomes a series.

use std::fmt::Write;

use crate::wire::{Metrics, ServiceMetrics};

/// Services in one answer, by id; the others are counted together.
pub const SERVICES_MAX: usize = 2_000;
/// Where latencies are cut for the operator's histogram: ends of buckets of ours.
const EDGES_US: [u64; 12] = [1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144, 1_048_576, 4_194_304, 16_777_216];

type Series = (&'static str, &'static str, &'static str, fn(&ServiceMetrics) -> u64);

const SERIES: [Series; 9] = [
    ("seaway_requests_total", "counter", "requests", |m| m.requests),
    ("seaway_ingress_errors_total", "counter", "5xx made by the ingress", |m| m.ingress_5xx),
    ("seaway_retries_total", "counter", "requests sent again", |m| m.retries),
    ("seaway_cut_total", "counter", "requests cut at the end of a drain", |m| m.cut),
    ("seaway_received_bytes_total", "counter", "body bytes from clients", |m| m.bytes_in),
    ("seaway_sent_bytes_total", "counter", "body bytes to clients", |m| m.bytes_out),
    ("seaway_in_flight", "gauge", "requests and WebSockets now", |m| m.in_flight),
    ("seaway_held", "gauge", "requests that wait for their service", |m| m.held),
    ("seaway_websockets", "gauge", "open WebSockets", |m| m.tunnels),
];

/// The whole answer.
pub fn text(metrics: &Metrics) -> String {
    let mut out = String::new();
    let services: Vec<(&str, &ServiceMetrics)> =
        metrics.services.iter().take(SERVICES_MAX).map(|(id, service)| (id.as_str(), service)).collect();
    for (name, value) in [
        ("seaway_connections_total", metrics.connections),
        ("seaway_connections_refused_total", metrics.connections_refused),
        ("seaway_unknown_host_total", metrics.unknown_host),
        ("seaway_malformed_total", metrics.malformed),
        ("seaway_services_left_out_total", metrics.services.len().saturating_sub(SERVICES_MAX) as u64),
    ] {
        line(&mut out, format_args!("# TYPE {name} counter\n{name} {value}"));
    }
    for (name, kind, help, read) in SERIES {
        line(&mut out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
        for (id, service) in &services {
            line(&mut out, format_args!("{name}{{service=\"{id}\"}} {}", read(service)));
        }
    }
    line(&mut out, format_args!("# TYPE seaway_answers_total counter"));
    for (id, service) in &services {
        let classes = [service.status_1xx, service.status_2xx, service.status_3xx, service.status_4xx, service.status_5xx];
        for (index, count) in classes.into_iter().enumerate() {
            line(&mut out, format_args!("seaway_answers_total{{service=\"{id}\",class=\"{}xx\"}} {count}", index + 1));
        }
    }
    line(&mut out, format_args!("# TYPE seaway_latency_seconds histogram"));
    for (id, service) in &services {
        histogram(&mut out, id, service);
    }
    out
}

fn histogram(out: &mut String, id: &str, service: &ServiceMetrics) {
    let mut below = [0u64; EDGES_US.len()];
    let mut total = 0;
    for release in &service.releases {
        for (bucket, count) in release.latencies.counts().iter().enumerate() {
            total += count;
            let end = domain::latency::bucket_end_us(bucket).unwrap_or(u64::MAX);
            for (sum, edge) in below.iter_mut().zip(EDGES_US) {
                *sum += if end <= edge { *count } else { 0 };
            }
        }
    }
    if total == 0 {
        return;
    }
    for (sum, edge) in below.iter().zip(EDGES_US) {
        line(out, format_args!("seaway_latency_seconds_bucket{{service=\"{id}\",le=\"{}\"}} {sum}", edge as f64 / 1e6));
    }
    line(out, format_args!("seaway_latency_seconds_bucket{{service=\"{id}\",le=\"+Inf\"}} {total}"));
    line(out, format_args!("seaway_latency_seconds_count{{service=\"{id}\"}} {total}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = writeln!(out, "{text}");
}
