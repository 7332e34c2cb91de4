//! A value that must not be shown: it cannot be printed, compared or serialised, and is wiped from memory when dropped.

use zeroize::{Zeroize, Zeroizing};

/// A secret value. `reveal` is the one way to it, and easy to search for.
///
/// ```compile_fail
/// let secret = domain::Secret::new(String::from("s3cr3t"));
/// println!("{secret}");
/// ```
/// ```compile_fail
/// let secret = domain::Secret::new(String::from("s3cr3t"));
/// serde_json::to_string(&secret);
/// ```
/// ```compile_fail
/// let same = domain::Secret::new(String::new()) == domain::Secret::new(String::new());
/// ```
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> std::fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// A secret may come in with a request; it never goes out.
impl<'de> serde::Deserialize<'de> for Secret<String> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// `ComposeSchema` rather than `PartialSchema`: the derive takes a type with parameters for a composed one.
impl utoipa::__dev::ComposeSchema for Secret<String> {
    fn compose(_: Vec<utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>>) -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::schema::SchemaFormat::KnownFormat(utoipa::openapi::schema::KnownFormat::Password)))
            .write_only(true)
            .into()
    }
}

impl utoipa::ToSchema for Secret<String> {
    fn name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
}
