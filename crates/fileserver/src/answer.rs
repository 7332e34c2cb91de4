//! One request, one answer.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::content_type::content_type;

pub type Body = BoxBody<Bytes, io::Error>;

const INDEX: &str = "index.html";
const NOT_FOUND: &str = "404.html";
const READ_BYTES: usize = 64 * 1024;
/// Pages are asked for again at each visit and answered with 304; other files may be kept for a while.
const CACHE_PAGE: &str = "no-cache";
const CACHE_FILE: &str = "public, max-age=300";

/// A folder of files.
#[derive(Debug, Clone)]
pub struct Site {
    root: Arc<PathBuf>,
    single_page: bool,
}

struct Found {
    file: File,
    name: String,
    size_bytes: u64,
    tag: String,
}

enum Place {
    File(Found),
    /// A folder without its trailing slash.
    Folder,
    Missing,
}

impl Site {
    /// # Errors
    /// The folder does not exist.
    pub fn new(root: &Path, single_page: bool) -> io::Result<Self> {
        Ok(Self { root: Arc::new(root.canonicalize()?), single_page })
    }

    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let mut response = self.route(request).await;
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn route<B>(&self, request: &Request<B>) -> Response<Body> {
        let head = request.method() == Method::HEAD;
        if !head && request.method() != Method::GET {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri().path();
        let Some(relative) = confined(path) else { return self.missing(head).await };
        match self.find(&relative, path.ends_with('/')).await {
            Place::File(found) => send(found, StatusCode::OK, request.headers(), head).await,
            Place::Folder => redirect(path, request.uri().query()),
            Place::Missing if self.single_page => match self.find(Path::new(INDEX), false).await {
                Place::File(found) => send(found, StatusCode::OK, request.headers(), head).await,
                _ => self.missing(head).await,
            },
            Place::Missing => self.missing(head).await,
        }
    }

    async fn find(&self, relative: &Path, as_folder: bool) -> Place {
        let Ok(mut path) = tokio::fs::canonicalize(self.root.join(relative)).await else {
            // `about` may be `about.html`.
            if !as_folder && relative.extension().is_none() && relative.file_name().is_some() {
                return self.open(&self.root.join(relative).with_extension("html")).await;
            }
            return Place::Missing;
        };
        let is_folder = tokio::fs::metadata(&path).await.is_ok_and(|metadata| metadata.is_dir());
        match (is_folder, as_folder) {
            (true, true) => path.push(INDEX),
            (true, false) => return if path.join(INDEX).is_file() { Place::Folder } else { Place::Missing },
            (false, true) => return Place::Missing,
            (false, false) => {}
        }
        self.open(&path).await
    }

    /// Links are followed while they stay inside.
    async fn open(&self, path: &Path) -> Place {
        let Ok(path) = tokio::fs::canonicalize(path).await else { return Place::Missing };
        if !path.starts_with(self.root.as_path()) {
            return Place::Missing;
        }
        let Ok(file) = File::open(&path).await else { return Place::Missing };
        let Ok(metadata) = file.metadata().await else { return Place::Missing };
        if !metadata.is_file() {
            return Place::Missing;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let tag = tag(&path, &metadata).await;
        Place::File(Found { file, name, size_bytes: metadata.len(), tag })
    }

    async fn missing(&self, head: bool) -> Response<Body> {
        match self.open(&self.root.join(NOT_FOUND)).await {
            Place::File(found) => send(found, StatusCode::NOT_FOUND, &HeaderMap::new(), head).await,
            _ => plain(StatusCode::NOT_FOUND, if head { "" } else { "There is no such page.\n" }),
        }
    }
}

/// Files of an image have no time of their own (it is zero), so the content's hash is the tag.
async fn tag(path: &Path, metadata: &std::fs::Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_nanos());
    if modified != 0 {
        return format!("\"{:x}-{modified:x}\"", metadata.len());
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    if let Ok(mut file) = File::open(path).await {
        let mut buffer = vec![0u8; READ_BYTES];
        while let Ok(count) = file.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            for byte in buffer.iter().take(count) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    format!("\"{:x}-{hash:x}\"", metadata.len())
}

/// The path of a request as a relative one; `None` when it leaves the folder or names something hidden.
fn confined(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    if decoded.contains(['\0', '\\']) {
        return None;
    }
    let mut relative = PathBuf::new();
    for component in Path::new(decoded.trim_start_matches('/')).components() {
        match component {
            Component::Normal(part) => {
                let hidden = part.to_string_lossy().starts_with('.') && part != ".well-known";
                if hidden {
                    return None;
                }
                relative.push(part);
            }
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(relative)
}

fn redirect(path: &str, query: Option<&str>) -> Response<Body> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    // Two leading slashes would name another host.
    let target = format!("/{}/{query}", path.trim_start_matches('/'));
    let mut response = plain(StatusCode::PERMANENT_REDIRECT, "");
    if let Ok(value) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

async fn send(mut found: Found, status: StatusCode, asked: &HeaderMap, head: bool) -> Response<Body> {
    let mut builder = Response::builder()
        .header(header::CONTENT_TYPE, content_type(&found.name))
        .header(header::ETAG, &found.tag)
        .header(header::CACHE_CONTROL, if found.name.ends_with(".html") { CACHE_PAGE } else { CACHE_FILE });
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(known) = text(header::IF_NONE_MATCH)
        && known
            .split(',')
            .any(|tag| matches!(tag.trim().trim_start_matches("W/"), "*") || tag.trim().trim_start_matches("W/") == found.tag)
    {
        return finished(builder.status(StatusCode::NOT_MODIFIED), empty());
    }
    builder = builder.header(header::ACCEPT_RANGES, "bytes");
    let same = text(header::IF_RANGE).is_none_or(|tag| tag == found.tag);
    let range =
        text(header::RANGE).filter(|_| status == StatusCode::OK && same).map_or(Range::Whole, |text| parse_range(text, found.size_bytes));
    let (first, length, status) = match range {
        Range::Whole => (0, found.size_bytes, status),
        Range::Part(first, length) => {
            builder = builder.header(header::CONTENT_RANGE, format!("bytes {first}-{}/{}", first + length - 1, found.size_bytes));
            (first, length, StatusCode::PARTIAL_CONTENT)
        }
        Range::Outside => {
            let response =
                builder.status(StatusCode::RANGE_NOT_SATISFIABLE).header(header::CONTENT_RANGE, format!("bytes */{}", found.size_bytes));
            return finished(response, empty());
        }
    };
    let builder = builder.status(status).header(header::CONTENT_LENGTH, length);
    if head {
        return finished(builder, empty());
    }
    if first > 0 && found.file.seek(io::SeekFrom::Start(first)).await.is_err() {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "");
    }
    let stream = ReaderStream::with_capacity(found.file.take(length), READ_BYTES).map_ok(Frame::data);
    finished(builder, BodyExt::boxed(StreamBody::new(stream)))
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part(u64, u64),
    Outside,
}

/// One range; several, and what cannot be read, are answered with the whole file.
fn parse_range(text: &str, size_bytes: u64) -> Range {
    let Some(spec) = text.strip_prefix("bytes=").filter(|spec| !spec.contains(',')) else { return Range::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Range::Whole };
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(size_bytes.saturating_sub(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, size_bytes.saturating_sub(1)),
        (Err(_), Ok(0)) if first.is_empty() => return Range::Outside,
        (Err(_), Ok(length)) if first.is_empty() => (size_bytes.saturating_sub(length), size_bytes.saturating_sub(1)),
        _ => return Range::Whole,
    };
    if first >= size_bytes { Range::Outside } else { Range::Part(first, last - first + 1) }
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed();
    finished(Response::builder().status(status).header(header::CONTENT_TYPE, "text/plain; charset=utf-8"), body)
}

fn finished(builder: hyper::http::response::Builder, body: Body) -> Response<Body> {
    builder.body(body).unwrap_or_else(|_invalid| Response::new(empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(site: &Site, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = site.answer(&request.body(()).unwrap()).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&bytes).into_owned())
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("site/index.html", "home"),
            ("site/app.js", "0123456789"),
            ("site/sub/index.html", "sub"),
            ("site/about.html", "about"),
            ("site/.env", "hidden"),
            ("site/a b;c.txt", "odd"),
            ("secret", "secret"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("../secret", folder.path().join("site/out")).unwrap();
        folder
    }

    #[tokio::test]
    async fn pages_folders_and_types() {
        let folder = folder();
        let site = Site::new(&folder.path().join("site"), false).unwrap();
        for (path, status, text) in [
            ("/", 200, "home"),
            ("/sub/", 200, "sub"),
            ("/about", 200, "about"),
            ("/a%20b;c.txt", 200, "odd"),
            ("/none", 404, "There is no such page.\n"),
            ("/sub", 308, ""),
        ] {
            let (got, _, body) = get(&site, path, &[]).await;
            assert_eq!((got, body.as_str()), (status, text), "{path}");
        }
        let (_, headers, _) = get(&site, "/app.js", &[]).await;
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(get(&site, "//evil.example/..%2f", &[]).await.0, 404);
        std::fs::write(folder.path().join("site/404.html"), "lost").unwrap();
        let (status, _, body) = get(&site, "/none", &[]).await;
        assert_eq!((status, body.as_str()), (404, "lost"));
    }

    #[tokio::test]
    async fn nothing_outside_or_hidden() {
        let folder = folder();
        for single_page in [false, true] {
            let site = Site::new(&folder.path().join("site"), single_page).unwrap();
            for path in
                ["/../secret", "/..%2fsecret", "/%2e%2e/secret", "/sub/../../secret", "/out", "/.env", "/%2eenv", "/a%00", "/..%5csecret"]
            {
                let (_, _, body) = get(&site, path, &[]).await;
                assert!(!body.contains("secret") && !body.contains("hidden"), "{path}: {body}");
            }
        }
    }

    #[tokio::test]
    async fn tags_ranges_and_methods() {
        let folder = folder();
        let site = Site::new(&folder.path().join("site"), true).unwrap();
        let (_, headers, _) = get(&site, "/app.js", &[]).await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(get(&site, "/app.js", &[("if-none-match", &tag)]).await.0, 304);
        for (range, status, body) in [
            ("bytes=2-4", 206, "234"),
            ("bytes=7-", 206, "789"),
            ("bytes=-3", 206, "789"),
            ("bytes=5-99", 206, "56789"),
            ("bytes=10-", 416, ""),
            ("bytes=1-2,4-5", 200, "0123456789"),
            ("lines=1", 200, "0123456789"),
        ] {
            let (got, _, text) = get(&site, "/app.js", &[("range", range)]).await;
            assert_eq!((got, text.as_str()), (status, body), "{range}");
        }
        assert_eq!(get(&site, "/deep/route", &[]).await.2, "home");
        let post = site.answer(&Request::builder().method("POST").uri("/").body(()).unwrap()).await;
        assert_eq!(post.status(), 405);
        let head = site.answer(&Request::builder().method("HEAD").uri("/app.js").body(()).unwrap()).await;
        assert_eq!(head.headers()["content-length"], "10");
        assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    }

    #[tokio::test]
    async fn files_of_an_image_have_a_tag_of_their_content() {
        let folder = folder();
        let path = folder.path().join("site/app.js");
        let site = Site::new(&folder.path().join("site"), false).unwrap();
        let mut tags = Vec::new();
        for text in ["0123456789", "9876543210"] {
            std::fs::write(&path, text).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
            tags.push(get(&site, "/app.js", &[]).await.1["etag"].clone());
        }
        assert_ne!(tags[0], tags[1]);
    }
}
