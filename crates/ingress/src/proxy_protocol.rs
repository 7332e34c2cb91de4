//! PROXY protocol, version 2, from a load balancer in front: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.
//!
//! Only a trusted proxy is asked for it, and then every connection must begin with it: a header that may be missing could be
//! sent by anybody behind it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses and the extensions that load balancers send.
const BODY_BYTES_MAX: u16 = 2_048;
const COMMAND_LOCAL: u8 = 0x20;
const COMMAND_PROXY: u8 = 0x21;
const FAMILY_TCP4: u8 = 0x11;
const FAMILY_TCP6: u8 = 0x21;

/// The client that the proxy speaks for. `None`: the proxy speaks for itself (a health check).
///
/// # Errors
/// The header is missing, of version 1, or damaged.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = [0u8; 16];
    stream.read_exact(&mut head).await?;
    let [signature @ .., command, family, high, low] = head;
    if signature != SIGNATURE {
        return Err(damaged("the connection does not begin with a PROXY header of version 2"));
    }
    let length = u16::from_be_bytes([high, low]);
    if length > BODY_BYTES_MAX {
        return Err(damaged("the PROXY header is too long"));
    }
    let mut body = vec![0u8; usize::from(length)];
    stream.read_exact(&mut body).await?;
    match (command, family) {
        (COMMAND_LOCAL, _) => Ok(None),
        (COMMAND_PROXY, FAMILY_TCP4) => {
            // Source, destination (4 bytes each), two ports.
            let source = body.first_chunk::<12>().and_then(|addresses| addresses.first_chunk::<4>());
            source.map(|source| Some(Ipv4Addr::from(*source).into())).ok_or_else(|| damaged("the PROXY header lacks its addresses"))
        }
        (COMMAND_PROXY, FAMILY_TCP6) => {
            let source = body.first_chunk::<36>().and_then(|addresses| addresses.first_chunk::<16>());
            let source = source.map(|source| IpAddr::from(Ipv6Addr::from(*source)).to_canonical());
            source.map(Some).ok_or_else(|| damaged("the PROXY header lacks its addresses"))
        }
        // "UNSPEC", datagrams, local sockets: who the client is, nobody knows.
        (COMMAND_PROXY, _) => Ok(None),
        _ => Err(damaged("the PROXY header has an unknown command")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    #[tokio::test]
    async fn table() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];
        let mut v6 = Ipv6Addr::LOCALHOST.octets().to_vec();
        v6.extend([0; 20]);
        let with_extension = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        for (bytes, wanted) in [
            (header(0x21, 0x11, &v4), Ok(Some("192.0.2.7"))),
            (header(0x21, 0x11, &with_extension), Ok(Some("192.0.2.7"))),
            (header(0x21, 0x21, &v6), Ok(Some("::1"))),
            (header(0x20, 0x00, &[]), Ok(None)),
            (header(0x21, 0x00, &[]), Ok(None)),
            (header(0x21, 0x11, &v4[..8]), Err("lacks")),
            (header(0x31, 0x11, &v4), Err("unknown command")),
            (header(0x21, 0x11, &[0; 3_000]), Err("too long")),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(), Err("version 2")),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Err("version 2")),
            (SIGNATURE.to_vec(), Err("eof")),
        ] {
            let mut stream = &[&bytes[..], b"rest"].concat()[..];
            if wanted == Err("eof") {
                stream = &bytes;
            }
            match (read(&mut stream).await, wanted) {
                (Ok(found), Ok(wanted)) => {
                    assert_eq!(found, wanted.map(|text| text.parse().unwrap()));
                    assert_eq!(stream, b"rest", "what follows stays");
                }
                (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
                (found, wanted) => panic!("{found:?} {wanted:?}"),
            }
        }
    }
}
