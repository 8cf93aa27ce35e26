//! A request that goes out as it is: nothing stays behind, nothing is added. Part of tests and fuzzing builds alone.

use http::{HeaderName, HeaderValue, Method};
use hyper::ext::Protocol;

use super::{
    RequestHead,
    fields::{Field, Fields, Name},
    head::Outgoing,
};

impl Outgoing for RequestHead {
    fn method(&self) -> &Method {
        &self.method
    }

    fn target(&self) -> &str {
        let authority = || self.target.authority().map(|authority| authority.as_str());
        let path = self.target.path_and_query().map(|path| path.as_str());
        path.or_else(authority).unwrap_or_default()
    }

    fn host(&self) -> &[u8] {
        self.fields.get(Name::HOST).unwrap_or_default()
    }

    fn connection(&self) -> Option<&str> {
        self.fields.get(Name::CONNECTION).and_then(|value| std::str::from_utf8(value).ok())
    }

    fn protocol(&self) -> Option<&Protocol> {
        self.protocol.as_ref()
    }

    fn asks_to_switch(&self) -> bool {
        self.fields.contains(Name::UPGRADE)
    }

    fn came(&self) -> &Fields {
        &self.fields
    }

    fn stays_behind(&self, _field: &Field<'_>) -> bool {
        false
    }

    fn added(&self, _show: &mut dyn FnMut(&HeaderName, &HeaderValue)) {}
}
