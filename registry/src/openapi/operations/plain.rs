//! What is served beside resources: versions, groups, lists of resources, keys.

use super::{Content, Form, Operation, camel, media, names};

/// A path that stands in a document of its own.
pub struct Plain {
    /// Below `/openapi/v3/`.
    pub document: &'static str,
    id: &'static str,
    tag: &'static str,
    doc: &'static str,
    /// A type's name; `""` for text.
    answer: &'static str,
    /// `""` for what every API speaks.
    media: &'static str,
    consumes: bool,
}

/// All of them. Upstream lists `logs` only with `--enable-logs-handler`, which we do not have.
pub const PLAIN: &[Plain] = &[
    Plain {
        document: ".well-known/openid-configuration",
        id: "getServiceAccountIssuerOpenIDConfiguration",
        tag: "WellKnown",
        doc: "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        answer: "",
        media: "application/json",
        consumes: false,
    },
    Plain {
        document: "api",
        id: "getCoreAPIVersions",
        tag: "core",
        doc: VERSIONS,
        answer: "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions",
        media: "",
        consumes: true,
    },
    Plain {
        document: "apis",
        id: "getAPIVersions",
        tag: "apis",
        doc: VERSIONS,
        answer: "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList",
        media: "",
        consumes: true,
    },
    Plain {
        document: "openid/v1/jwks",
        id: "getServiceAccountIssuerOpenIDKeyset",
        tag: "openid",
        doc: "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        answer: "",
        media: "application/jwk-set+json",
        consumes: false,
    },
    Plain {
        document: "version",
        id: "getCodeVersion",
        tag: "version",
        doc: "get the version information for this server",
        answer: "io.k8s.apimachinery.pkg.version.Info",
        media: "application/json",
        consumes: true,
    },
];

const VERSIONS: &str = "get available API versions";

impl Plain {
    pub fn operation(&self, form: &Form) -> Operation {
        let produces = if self.media.is_empty() { media(form) } else { vec![self.media] };
        let answer = match self.answer {
            "" => Content::Text,
            name => Content::Type(name.into()),
        };
        Operation {
            consumes: if self.consumes { produces.clone() } else { Vec::new() },
            produces,
            answers: vec![(200, answer)],
            ..get(format!("/{}/", self.document), self.id.into(), self.tag.into(), self.doc)
        }
    }
}

/// `/apis/GROUP/`
pub fn group(form: &Form, group: &str) -> Operation {
    let trimmed = group.strip_suffix(".k8s.io").unwrap_or(group);
    let id = format!("get{}APIGroup", camel(trimmed, true));
    let answer = Content::Type("io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup".into());
    Operation {
        consumes: media(form),
        produces: media(form),
        answers: vec![(200, answer)],
        ..get(format!("/apis/{group}/"), id, camel(trimmed, false), "get information of a group")
    }
}

/// `/apis/GROUP/VERSION/`
pub fn resources(form: &Form, group: &str, version: &str) -> Operation {
    let (name, tag) = names(group, version);
    let path = if group.is_empty() { format!("/api/{version}/") } else { format!("/apis/{group}/{version}/") };
    let answer = Content::Type("io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList".into());
    Operation {
        consumes: media(form),
        produces: media(form),
        answers: vec![(200, answer)],
        ..get(path, format!("get{name}APIResources"), tag, "get available resources")
    }
}

fn get(path: String, id: String, tag: String, doc: &str) -> Operation {
    Operation {
        path,
        method: "get",
        id,
        tag,
        doc: doc.into(),
        action: "",
        gvk: None,
        parameters: Vec::new(),
        body: None,
        consumes: Vec::new(),
        produces: Vec::new(),
        answers: Vec::new(),
    }
}
