//! From the path of a request to the endpoints that share it, and, behind the gate, to the handler.
//!
//! The framework tries one pattern after the other and keeps a copy of all of them in every worker; with this many paths that
//! was the greatest cost of a read. Here a path is found by its length and first word. It never decides about access: that is
//! the gate's.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse, always_ready};
use actix_web::http::Method;
use actix_web::{Error, HttpMessage, HttpResponse, Route};
use futures_util::future::LocalBoxFuture;

use crate::endpoint::Endpoint;

/// The endpoints that share a path.
pub struct Shared {
    segments: Vec<Segment>,
    endpoints: Vec<Endpoint>,
    /// Place of the first endpoint's handler among all.
    first: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// Sorts before parameters, so that `/services/search` is not taken for a service.
    Fixed(&'static str),
    Parameter(&'static str),
}

impl Segment {
    fn of(text: &'static str) -> Self {
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => Self::Parameter(name),
            None => Self::Fixed(text),
        }
    }

    fn admits(self, text: &str) -> bool {
        match self {
            Self::Fixed(word) => word == text,
            Self::Parameter(_) => !text.is_empty(),
        }
    }
}

impl Shared {
    /// `HEAD` is answered by `GET`.
    pub fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        self.place(method).and_then(|place| self.endpoints.get(place))
    }

    pub fn methods(&self) -> Vec<&str> {
        self.endpoints.iter().map(|endpoint| endpoint.method.as_str()).collect()
    }

    fn place(&self, method: &Method) -> Option<usize> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.endpoints.iter().position(|endpoint| endpoint.method == method)
    }

    fn admits(&self, texts: &[&str]) -> bool {
        self.segments.len() == texts.len() && self.segments.iter().zip(texts).all(|(segment, text)| segment.admits(text))
    }
}

/// Every path of the API; one for all workers.
pub struct Table {
    paths: HashMap<(usize, &'static str), Vec<Arc<Shared>>>,
    /// Makes the handlers, in the order of [`Shared::first`].
    endpoints: Vec<Endpoint>,
}

impl Table {
    /// # Errors
    /// A path that does not begin with a fixed word.
    pub fn new(endpoints: Vec<Endpoint>) -> anyhow::Result<Self> {
        let mut sharing: BTreeMap<Vec<Segment>, Vec<Endpoint>> = BTreeMap::new();
        for endpoint in endpoints {
            let segments = endpoint.path.trim_start_matches('/').split('/').map(Segment::of).collect();
            sharing.entry(segments).or_default().push(endpoint);
        }
        let mut table = Self { paths: HashMap::new(), endpoints: Vec::new() };
        for (segments, endpoints) in sharing {
            let Some(Segment::Fixed(word)) = segments.first().copied() else {
                anyhow::bail!("a path of the API begins with a fixed word: {segments:?}");
            };
            let first = table.endpoints.len();
            table.endpoints.extend(endpoints.iter().cloned());
            let shared = Shared { segments, endpoints, first };
            table.paths.entry((shared.segments.len(), word)).or_default().push(Arc::new(shared));
        }
        Ok(table)
    }

    /// Finds who shares the path of the request (below the API's root), and notes its parameters and who was found.
    /// Nobody else may hold the request yet.
    pub fn find(&self, request: &mut ServiceRequest) -> Option<Arc<Shared>> {
        let path = request.match_info().unprocessed().strip_prefix('/')?;
        let texts: Vec<&str> = path.split('/').collect();
        let candidates = self.paths.get(&(texts.len(), *texts.first()?))?;
        let found = Arc::clone(candidates.iter().find(|shared| shared.admits(&texts))?);
        let named: Vec<(&'static str, String)> = std::iter::zip(&found.segments, &texts)
            .filter_map(|(segment, text)| match segment {
                Segment::Parameter(name) => Some((*name, (*text).to_owned())),
                Segment::Fixed(_) => None,
            })
            .collect();
        for (name, text) in named {
            request.match_info_mut().add_static(name, text);
        }
        request.extensions_mut().insert(Arc::clone(&found));
        Some(found)
    }
}

/// Makes a worker's handlers.
pub struct Handlers(pub Arc<Table>);

/// The handlers of a worker: calls the one that [`Table::find`] has found.
pub struct Dispatch(Vec<<Route as ServiceFactory<ServiceRequest>>::Service>);

impl ServiceFactory<ServiceRequest> for Handlers {
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Config = ();
    type Service = Dispatch;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Dispatch, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let table = Arc::clone(&self.0);
        Box::pin(async move {
            let mut handlers = Vec::with_capacity(table.endpoints.len());
            for endpoint in &table.endpoints {
                handlers.push(endpoint.route().ok_or(())?.new_service(()).await?);
            }
            Ok(Dispatch(handlers))
        })
    }
}

impl Service<ServiceRequest> for Dispatch {
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    always_ready!();

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let found = request.extensions().get::<Arc<Shared>>().cloned();
        let place = found.and_then(|shared| Some(shared.first + shared.place(request.method())?));
        match place.and_then(|place| self.0.get(place)) {
            Some(handler) => handler.call(request),
            // The gate answers for what is not there; without the gate there is nothing.
            None => Box::pin(ready(Ok(request.into_response(HttpResponse::NotFound().finish())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::endpoint::Access;

    fn found(table: &Table, path: &str) -> Option<(&'static str, Vec<(String, String)>)> {
        let mut request = TestRequest::with_uri(path).to_srv_request();
        let shared = table.find(&mut request)?;
        let parameters = request.match_info().iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        Some((shared.endpoint(&Method::HEAD).unwrap().path, parameters))
    }

    #[test]
    fn a_path_finds_its_endpoints_and_names_its_parameters() {
        let paths = ["/services/{service}", "/services/search", "/services/{service}/files/{name}", "/me"];
        let table = Table::new(paths.iter().map(|path| Endpoint::get("x", path, Access::Public)).collect()).unwrap();
        let named = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(found(&table, "/me"), Some(("/me", Vec::new())));
        assert_eq!(found(&table, "/services/search"), Some(("/services/search", Vec::new())), "a fixed word comes first");
        assert_eq!(found(&table, "/services/s%2F1?a=b"), Some(("/services/{service}", named(&[("service", "s%2F1")]))));
        let two = named(&[("service", "a"), ("name", "b")]);
        assert_eq!(found(&table, "/services/a/files/b"), Some(("/services/{service}/files/{name}", two)));
        for path in ["/", "/services", "/services/", "//me", "/me/", "/services/a/files", "/services//files/b", "/services/a/files/b/c"] {
            assert_eq!(found(&table, path), None, "{path}");
        }
    }

    #[test]
    fn a_path_that_begins_with_a_parameter_is_refused() {
        assert!(Table::new(vec![Endpoint::get("x", "/{any}/x", Access::Public)]).is_err());
    }
}
