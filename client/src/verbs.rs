//! The API's verbs on objects as trees.

use api::{EcoString, Value, value};
use bytes::{Bytes, BytesMut};
use form_urlencoded::Serializer;
use futures::StreamExt;
use http::{HeaderValue, Method, Request, Response, header};

use crate::{Client, Error, Frames, Target, error};

/// As many objects as one page has. Upstream: client-go/tools/pager defaultPageSize.
const PAGE_LEN: i64 = 500;
/// Longer answers are not read: a list of the largest page is far below it.
const ANSWER_LEN_MAX: usize = 1 << 30;
/// Pages of a list that expired are begun anew so many times.
const RESTARTS_MAX: usize = 3;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is wanted of each object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Whole,
    /// Kind and metadata alone.
    Metadata,
}

/// Which objects a list has.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub labels: String,
    pub fields: String,
    /// At or after this revision; empty for the newest.
    pub resource_version: EcoString,
    pub form: Form,
}

/// Objects at a revision.
#[derive(Clone, Debug, Default)]
pub struct List {
    pub items: Vec<Value>,
    pub resource_version: EcoString,
}

/// The kind of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch<'a> {
    Merge,
    Json,
    Strategic,
    /// Server-side apply as a field manager.
    Apply {
        manager: &'a str,
        force: bool,
    },
}

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub uid: EcoString,
    pub resource_version: EcoString,
    pub propagation: Option<Propagation>,
    pub grace_seconds: Option<i64>,
}

impl Client {
    /// Reads an object.
    pub async fn get(&self, target: Target<'_>) -> Result<Value, Error> {
        self.get_as(target, Form::Whole).await
    }

    /// Reads an object, or its metadata alone.
    pub async fn get_as(&self, target: Target<'_>, form: Form) -> Result<Value, Error> {
        let mut request = self.request(Method::GET, &target.path(), Bytes::new());
        request.headers_mut().insert(header::ACCEPT, form.accept());
        self.answer(request).await
    }

    /// Reads whatever stands at a path.
    pub async fn get_path(&self, path: &str) -> Result<Value, Error> {
        self.answer(self.request(Method::GET, path, Bytes::new())).await
    }

    /// Reads all objects of a collection, page by page. When a page's revision has expired it starts again.
    pub async fn list(&self, target: Target<'_>, options: &ListOptions) -> Result<List, Error> {
        let mut restarts = 0;
        loop {
            match self.pages(target, options).await {
                Err(error) if error.is_expired() && restarts < RESTARTS_MAX => restarts += 1,
                other => return other,
            }
        }
    }

    async fn pages(&self, target: Target<'_>, options: &ListOptions) -> Result<List, Error> {
        let mut all = List::default();
        let mut token = String::new();
        loop {
            let path = format!("{}?{}", target.path(), options.query(&token));
            let mut request = self.request(Method::GET, &path, Bytes::new());
            request.headers_mut().insert(header::ACCEPT, options.form.accept_list());
            let mut page = self.answer(request).await?;
            let kind = page.str("kind").strip_suffix("List").unwrap_or("").to_string();
            let api_version = page.str("apiVersion").to_string();
            all.resource_version = page.at("metadata").str("resourceVersion").into();
            token = page.at("metadata").str("continue").to_string();
            if let Value::Array(items) = page.entry("items").take() {
                all.items.extend(items.into_iter().map(|item| named_kind(item, &api_version, &kind)));
            }
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Creates an object in `target`'s collection; answers what was stored.
    pub async fn create(&self, target: Target<'_>, object: &Value) -> Result<Value, Error> {
        self.answer(self.request(Method::POST, &target.path(), encode(object))).await
    }

    /// Replaces an object (or a subresource of it); its resourceVersion, if it has one, has to be the newest.
    pub async fn update(&self, target: Target<'_>, object: &Value) -> Result<Value, Error> {
        self.answer(self.request(Method::PUT, &target.path(), encode(object))).await
    }

    pub async fn update_status(&self, target: Target<'_>, object: &Value) -> Result<Value, Error> {
        self.update(target.below("status"), object).await
    }

    /// Changes an object.
    pub async fn patch(&self, target: Target<'_>, kind: Patch<'_>, patch: &Value) -> Result<Value, Error> {
        self.patch_as(target, kind, patch, Form::Whole).await
    }

    /// Changes an object, and answers it or its metadata alone.
    pub async fn patch_as(
        &self,
        target: Target<'_>,
        kind: Patch<'_>,
        patch: &Value,
        form: Form,
    ) -> Result<Value, Error> {
        let path = match kind {
            Patch::Apply { manager, force } => {
                let mut query = Serializer::new(String::new());
                query.append_pair("fieldManager", manager).append_pair("force", if force { "true" } else { "false" });
                format!("{}?{}", target.path(), query.finish())
            }
            _ => target.path(),
        };
        let mut request = self.request(Method::PATCH, &path, encode(patch));
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.media_type()));
        request.headers_mut().insert(header::ACCEPT, form.accept());
        self.answer(request).await
    }

    /// Deletes an object. Answers it when it is going away but still there, else a Status of success.
    pub async fn delete(&self, target: Target<'_>, options: &DeleteOptions) -> Result<Value, Error> {
        self.answer(self.request(Method::DELETE, &target.path(), encode(&options.to_value()))).await
    }

    /// Deletes all objects of a collection that `which` selects.
    pub async fn delete_collection(
        &self,
        target: Target<'_>,
        options: &DeleteOptions,
        which: &ListOptions,
    ) -> Result<Value, Error> {
        let path = format!("{}?{}", target.path(), which.selectors());
        let mut request = self.request(Method::DELETE, &path, encode(&options.to_value()));
        request.headers_mut().insert(header::ACCEPT, Form::Metadata.accept_list());
        self.answer(request).await
    }

    pub(crate) fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("paths and queries are percent-encoded");
        let with_body = !request.body().is_empty();
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.agent.clone());
        headers.insert(header::ACCEPT, JSON);
        if with_body {
            headers.insert(header::CONTENT_TYPE, JSON);
        }
        request
    }

    /// Sends a request; an answer that is a failure is an error.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Frames>, Error> {
        let response = self.transport.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let body = whole(response.into_body()).await?;
        Err(Error::Status(error::read_failure(code, &body)))
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn answer(&self, request: Request<Bytes>) -> Result<Value, Error> {
        let body = whole(self.send(request).await?.into_body()).await?;
        codec::json::any(&body).map(|d| d.value).map_err(|e| Error::Unreadable(e.to_string()))
    }
}

// === impl Form ===

impl Form {
    pub(crate) fn accept(self) -> HeaderValue {
        match self {
            Form::Whole => JSON,
            Form::Metadata => HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
        }
    }

    fn accept_list(self) -> HeaderValue {
        match self {
            Form::Whole => JSON,
            Form::Metadata => {
                HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
            }
        }
    }
}

// === impl ListOptions ===

impl ListOptions {
    fn query(&self, token: &str) -> String {
        let mut query = Serializer::new(self.selectors());
        // Without a page's size a server may answer from its cache at revision 0.
        if self.resource_version != "0" {
            query.append_pair("limit", &PAGE_LEN.to_string());
        }
        match token {
            "" if !self.resource_version.is_empty() => {
                query.append_pair("resourceVersion", &self.resource_version);
            }
            "" => {}
            token => {
                query.append_pair("continue", token);
            }
        }
        query.finish()
    }

    pub(crate) fn selectors(&self) -> String {
        let mut query = Serializer::new(String::new());
        for (key, value) in [("labelSelector", &self.labels), ("fieldSelector", &self.fields)] {
            if !value.is_empty() {
                query.append_pair(key, value);
            }
        }
        query.finish()
    }
}

// === impl Patch ===

impl Patch<'_> {
    fn media_type(self) -> &'static str {
        match self {
            Patch::Merge => "application/merge-patch+json",
            Patch::Json => "application/json-patch+json",
            Patch::Strategic => "application/strategic-merge-patch+json",
            Patch::Apply { .. } => "application/apply-patch+yaml",
        }
    }
}

// === impl DeleteOptions ===

impl DeleteOptions {
    fn to_value(&self) -> Value {
        let mut options = value!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(seconds) = self.grace_seconds {
            options.set("gracePeriodSeconds", seconds);
        }
        if !self.uid.is_empty() {
            options.set_path(&["preconditions", "uid"], self.uid.clone());
        }
        if !self.resource_version.is_empty() {
            options.set_path(&["preconditions", "resourceVersion"], self.resource_version.clone());
        }
        if let Some(propagation) = self.propagation {
            let word = match propagation {
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
                Propagation::Orphan => "Orphan",
            };
            options.set("propagationPolicy", word);
        }
        options
    }
}

fn encode(object: &Value) -> Bytes {
    codec::json::to_string(object).into()
}

/// Items of a list do not say what they are; their list does.
fn named_kind(mut item: Value, api_version: &str, kind: &str) -> Value {
    if !kind.is_empty() && !item.has("kind") {
        item.set("apiVersion", api_version);
        item.set("kind", kind);
    }
    item
}

async fn whole(mut frames: Frames) -> Result<Bytes, Error> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(piece) = frames.next().await {
        let piece = piece?;
        if first.is_empty() && all.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&piece);
        if all.len() > ANSWER_LEN_MAX {
            return Err(Error::Unreadable(format!("it is longer than {ANSWER_LEN_MAX} bytes")));
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests;
