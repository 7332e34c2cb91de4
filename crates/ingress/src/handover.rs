//! Handing the listening sockets to a successor without closing them: no connection is refused or forgotten in between.
//!
//! The successor connects to a Unix socket beside the admin socket. This process stops taking changes and gives it the sockets
//! (SCM_RIGHTS), those of the listeners first, then files that the caller wants to live on (its lock). When the successor has
//! its routes and listens, it says so with one byte; only then this process stops accepting and ends when its requests have.
//! A successor that dies before is as if it had never come.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{UnixListener, UnixStream},
};

/// Sockets in one message; the kernel takes 253.
const SOCKETS_MAX: usize = 64;
const LETTER_BYTES_MAX: usize = 16 * 1024;
/// The successor loads its routes meanwhile.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY: u8 = 1;

/// Which sockets come with the message, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// As in the configuration: the successor takes those that it is configured for.
    pub plain: Vec<SocketAddr>,
    pub tls: Vec<SocketAddr>,
    /// Files after the sockets.
    pub files: usize,
}

/// What a successor got.
#[derive(Debug)]
pub struct Received {
    letter: Letter,
    sockets: Vec<Option<OwnedFd>>,
    stream: UnixStream,
}

pub fn path(admin_socket: &Path) -> PathBuf {
    let mut path = admin_socket.as_os_str().to_owned();
    path.push(".handover");
    path.into()
}

impl Received {
    /// `Ok(None)`: nobody runs there.
    pub async fn ask(admin_socket: &Path) -> io::Result<Option<Self>> {
        let stream = match UnixStream::connect(path(admin_socket)).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
            Err(error) => return Err(error),
        };
        let work = async {
            loop {
                stream.readable().await?;
                match stream.try_io(Interest::READABLE, || receive(stream.as_fd())) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    received => return received,
                }
            }
        };
        let (letter, sockets) = tokio::time::timeout(READY_TIMEOUT, work).await.map_err(io::Error::other)??;
        Ok(Some(Self { letter, sockets: sockets.into_iter().map(Some).collect(), stream }))
    }

    /// The socket of a configured address, once.
    pub fn take(&mut self, address: SocketAddr, is_tls: bool) -> Option<OwnedFd> {
        let plain = self.letter.plain.len();
        let at = match is_tls {
            false => self.letter.plain.iter().position(|known| *known == address)?,
            true => plain + self.letter.tls.iter().position(|known| *known == address)?,
        };
        self.sockets.get_mut(at)?.take()
    }

    /// The files that came with the sockets.
    pub fn take_files(&mut self) -> Vec<OwnedFd> {
        let sockets = self.letter.plain.len() + self.letter.tls.len();
        self.sockets.iter_mut().skip(sockets).filter_map(Option::take).collect()
    }

    /// The predecessor stops accepting now.
    pub async fn say_ready(mut self) -> io::Result<()> {
        self.stream.write_all(&[READY]).await
    }
}

/// Gives the sockets to whoever connects; returns once a successor is ready. `pause` is told when one has come and when it
/// has failed.
pub async fn serve(listener: &UnixListener, letter: &Letter, sockets: &[BorrowedFd<'_>], pause: impl Fn(bool)) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        pause(true);
        let given = async {
            give(&stream, letter, sockets).await?;
            stream.read_u8().await
        };
        match tokio::time::timeout(READY_TIMEOUT, given).await {
            Ok(Ok(READY)) => return Ok(()),
            failed => {
                tracing::warn!(?failed, "a successor came and failed; this process goes on");
                pause(false);
            }
        }
    }
}

async fn give(stream: &UnixStream, letter: &Letter, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(letter).map_err(io::Error::other)?;
    loop {
        stream.writable().await?;
        match stream.try_io(Interest::WRITABLE, || send(stream.as_fd(), &text, sockets)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
    }
}

fn send(to: BorrowedFd<'_>, text: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if sockets.len() > SOCKETS_MAX || !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::other("too many sockets to hand over"));
    }
    let sent = sendmsg(to, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == text.len() { Ok(()) } else { Err(io::Error::other("the letter was cut")) }
}

fn receive(from: BorrowedFd<'_>) -> io::Result<(Letter, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0u8; LETTER_BYTES_MAX];
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(given) = message {
            sockets.extend(given);
        }
    }
    let letter: Letter = serde_json::from_slice(text.get(..received.bytes).unwrap_or_default()).map_err(io::Error::other)?;
    if sockets.len() != letter.plain.len() + letter.tls.len() + letter.files {
        return Err(io::Error::other("the letter and the sockets do not fit"));
    }
    Ok((letter, sockets))
}
