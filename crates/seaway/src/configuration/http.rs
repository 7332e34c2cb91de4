//! Where the API listens, and under which address people reach it.

use std::net::SocketAddr;
use std::time::Duration;

use api::rate::{Quota, Quotas};
use ipnet::IpNet;

use super::{Invalid, Values};

const WORKERS_MAX: usize = 8;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub struct HttpConfiguration {
    pub listen: Vec<SocketAddr>,
    pub base_url: String,
    pub hosts: Vec<String>,
    pub trusted_proxies: Vec<IpNet>,
    pub workers: usize,
    pub quotas: Quotas,
}

impl HttpConfiguration {
    pub fn of(values: &Values) -> Result<Self, Invalid> {
        let listen: Vec<SocketAddr> = values.list("listen", "an address with a port, e.g. 127.0.0.1:8080")?;
        if listen.is_empty() {
            return Err(values.invalid("listen", "no address is given"));
        }
        let workers = match values.is_set("http_workers") {
            true => values.parse("http_workers", "a number")?,
            false => crate::runtime::cores().clamp(2, WORKERS_MAX),
        };
        if !(1..=64).contains(&workers) {
            return Err(values.invalid("http_workers", "choose 1 to 64"));
        }
        Ok(Self {
            listen,
            base_url: base_url(values)?,
            hosts: values.list("hosts", "a host name without scheme and path")?,
            trusted_proxies: values.list("trusted_proxies", "a network, e.g. 10.0.0.0/8")?,
            workers,
            quotas: Quotas {
                default: quota(values, "rate_limit_default", MINUTE)?,
                deploy: quota(values, "rate_limit_deploy", HOUR)?,
                login: quota(values, "rate_limit_login", MINUTE)?,
                failure: quota(values, "rate_limit_failure", MINUTE)?,
            },
        })
    }
}

fn quota(values: &Values, key: &'static str, window: Duration) -> Result<Quota, Invalid> {
    let requests: u32 = values.parse(key, "a whole number")?;
    if requests == 0 {
        return Err(values.invalid(key, "with 0 nobody could do anything; choose a number above 0"));
    }
    Ok(Quota { requests, window })
}

fn base_url(values: &Values) -> Result<String, Invalid> {
    let text = values.text("base_url").trim().trim_end_matches('/');
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let valid = rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']));
    match valid {
        true => Ok(text.to_owned()),
        false => Err(values.invalid("base_url", format!("{text:?} is not http(s)://HOST[:PORT] without a path"))),
    }
}
