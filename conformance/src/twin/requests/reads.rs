//! Reading: get, list and watch in every form, with every parameter.

use super::{super::target::LARGE, Class, Maker, with};

/// Forms of one object, the good and the bad.
const OBJECT_FORMS: &[&str] = &[
    "",
    "*/*",
    "application/*",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
    "text/html",
    "application/json;charset=utf-8",
    "application/json;pretty=1",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
    "application/json;as=Table;v=v2;g=meta.k8s.io",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=Table;v=v1;g=other,application/json",
    "application/yaml;as=Table;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
    "application/cbor, application/json",
    "application/vnd.kubernetes.protobuf,application/json",
];

const PARTIAL: &[&str] = &["PartialObjectMetadata", "PartialObjectMetadataList", "Bogus"];

/// Parameters of a list.
const LIST: &[&str] = &[
    "limit=1",
    "limit=0",
    "limit=-1",
    "limit=x",
    "limit=500",
    "continue=bogus",
    "continue=e30",
    "limit=1&continue=",
    "labelSelector=app%3Dsample",
    "labelSelector=app%21%3Dsample",
    "labelSelector=app",
    "labelSelector=%21app",
    "labelSelector=app+in+%28sample%2Cx%29",
    "labelSelector=app+notin+%28sample%29",
    "labelSelector=a%3Db%3Dc",
    "labelSelector=app+in+x",
    "labelSelector=app+in+%28%29",
    "labelSelector=a%3E1",
    "labelSelector=a%3Ex",
    "labelSelector=Bad+Key%3Dx",
    "labelSelector=app%3D-bad-",
    "labelSelector=%2C",
    "fieldSelector=metadata.name%3Dsample",
    "fieldSelector=metadata.name%21%3Dsample",
    "fieldSelector=metadata.namespace%3Dtwin",
    "fieldSelector=metadata.namespace%3Dother",
    "fieldSelector=metadata.name%3Dsample%2Cmetadata.namespace%3Dtwin",
    "fieldSelector=spec.bogus%3Dx",
    "fieldSelector=status.phase%3DRunning",
    "fieldSelector=spec.nodeName%3D",
    "fieldSelector=type%3DOpaque",
    "fieldSelector=metadata.name",
    "fieldSelector=%3D",
    "fieldSelector=metadata.labels.a%3Db",
    "resourceVersion=0",
    "resourceVersion=$rv",
    "resourceVersion=abc",
    "resourceVersion=-1",
    "resourceVersion=$rv&resourceVersionMatch=NotOlderThan",
    "resourceVersion=0&resourceVersionMatch=NotOlderThan",
    "resourceVersion=$rv&resourceVersionMatch=Exact",
    "resourceVersion=0&resourceVersionMatch=Exact",
    "resourceVersionMatch=Exact",
    "resourceVersionMatch=NotOlderThan",
    "resourceVersion=$rv&resourceVersionMatch=Bogus",
    "resourceVersion=$rv&limit=1",
    "resourceVersion=0&limit=1",
    "resourceVersion=$rv&resourceVersionMatch=Exact&limit=1",
    "resourceVersion=$rv&resourceVersionMatch=NotOlderThan&limit=1",
    "resourceVersion=0&resourceVersionMatch=Exact&limit=1",
    "resourceVersion=0&resourceVersionMatch=NotOlderThan&limit=1",
    "resourceVersionMatch=Exact&limit=1",
    "resourceVersionMatch=NotOlderThan&limit=1",
    "resourceVersion=0&resourceVersionMatch=Bogus",
    "resourceVersionMatch=Bogus",
    "resourceVersion=abc&resourceVersionMatch=Exact",
    "resourceVersion=abc&resourceVersionMatch=NotOlderThan",
    "resourceVersion=99999999999&resourceVersionMatch=Exact",
    "resourceVersion=$rv&continue=bogus",
    "sendInitialEvents=true",
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    "allowWatchBookmarks=true",
    "timeoutSeconds=5",
    "timeoutSeconds=x",
    "timeoutSeconds=-1",
    "watch=false",
    "watch=0",
    "watch=bogus&timeoutSeconds=1",
    "pretty=true",
    "includeObject=None",
    "bogus=1",
];

/// Parameters of a watch, each bounded to a second.
const WATCH: &[&str] = &[
    "",
    "resourceVersion=0",
    "resourceVersion=$rv",
    "resourceVersion=abc",
    "resourceVersion=1",
    "resourceVersion=$rv&allowWatchBookmarks=true",
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=0",
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=$rv",
    "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0",
    "sendInitialEvents=true",
    "sendInitialEvents=true&resourceVersionMatch=Exact",
    "sendInitialEvents=true&resourceVersionMatch=Bogus",
    "sendInitialEvents=true&resourceVersion=0",
    "sendInitialEvents=false",
    "sendInitialEvents=false&resourceVersion=0",
    "sendInitialEvents=x",
    "resourceVersionMatch=NotOlderThan",
    "resourceVersionMatch=Exact",
    "resourceVersion=0&resourceVersionMatch=Bogus",
    "resourceVersionMatch=NotOlderThan&resourceVersion=$rv",
    "resourceVersionMatch=Exact&resourceVersion=$rv",
    "labelSelector=app%3Dsample&resourceVersion=0",
    "labelSelector=app%3D%3D%3D",
    "fieldSelector=metadata.name%3Dsample&resourceVersion=0",
    "fieldSelector=spec.bogus%3Dx",
    "limit=1&resourceVersion=0",
    "continue=bogus",
];

const WATCH_FORMS: &[&str] = &[
    "application/json;stream=watch",
    "application/yaml",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/cbor-seq",
    "text/plain",
];

// === impl Maker ===

impl Maker<'_> {
    pub(super) fn reads(&mut self) {
        // Watches last a second each, so they begin first.
        if self.target.can("watch") {
            self.watches();
        }
        if self.target.can("list") {
            self.lists();
        }
        if self.target.can("get") {
            self.gets();
        }
        for (method, path) in [("POST", self.target.path()), ("PUT", self.target.collection())] {
            let path = with(&path, "dryRun=All");
            self.send(Class::Get, method, &path, "a verb that is not there", super::Body::Text("{}".into()));
        }
    }

    fn gets(&mut self) {
        let path = self.target.path();
        for form in OBJECT_FORMS {
            self.ask(Class::Get, &path, form);
        }
        for kind in PARTIAL {
            for version in ["v1", "v1beta1"] {
                for format in ["json", "vnd.kubernetes.protobuf"] {
                    let form = format!("application/{format};as={kind};v={version};g=meta.k8s.io");
                    self.ask(Class::Get, &path, &form);
                }
            }
        }
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for include in ["None", "Metadata", "Object", "Bogus", ""] {
            self.ask(Class::Get, &with(&path, &format!("includeObject={include}")), table);
        }
        for query in ["resourceVersion=0", "resourceVersion=$rv", "resourceVersion=abc", "pretty=true", "bogus=1"] {
            self.ask(Class::Get, &with(&path, query), "");
        }
        self.ask_packed(Class::Get, &path, "");
        let collection = self.target.collection();
        for name in ["missing", "Bad_Name", "a%20b", "%2e%2e", "a%2fb", "x/bogus", "x/status", "x/scale"] {
            self.ask(Class::Get, &format!("{collection}/{name}"), "");
        }
        for form in ["application/yaml", "application/vnd.kubernetes.protobuf", table] {
            self.ask(Class::Get, &format!("{collection}/missing"), form);
        }
        if self.target.namespaced {
            let root = self.target.root();
            for namespace in ["nowhere", "Bad_Name", ""] {
                let path = format!("{root}/namespaces/{namespace}/{}/{}", self.target.plural, self.target.name());
                self.ask(Class::Get, &path, "");
            }
        }
    }

    fn lists(&mut self) {
        let path = self.target.collection();
        for query in LIST {
            self.ask(Class::List, &with(&path, query), "");
        }
        for form in OBJECT_FORMS {
            self.ask(Class::List, &path, form);
        }
        for kind in PARTIAL {
            for format in ["json", "yaml", "vnd.kubernetes.protobuf"] {
                let form = format!("application/{format};as={kind};v=v1;g=meta.k8s.io");
                self.ask(Class::List, &path, &form);
            }
        }
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for query in
            ["includeObject=None", "includeObject=Metadata", "includeObject=Object", "includeObject=x", "limit=1"]
        {
            self.ask(Class::List, &with(&path, query), table);
        }
        self.ask_packed(Class::List, &path, "");
        if &*self.target.resource == LARGE.1 {
            let path = format!("{}/namespaces/{}/{}", self.target.root(), LARGE.0, self.target.plural);
            for form in ["", "application/yaml", "application/vnd.kubernetes.protobuf", table] {
                self.ask_packed(Class::List, &path, form);
                self.ask_packed(Class::Get, &format!("{path}/large"), form);
            }
            self.ask_packed(Class::Watch, &format!("{path}?watch=true&timeoutSeconds=1&resourceVersion=0"), "");
        }
        if self.target.namespaced {
            let everywhere = format!("{}/{}", self.target.root(), self.target.plural);
            for form in ["", table, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"] {
                self.ask(Class::List, &everywhere, form);
            }
            let nowhere = format!("{}/namespaces/nowhere/{}", self.target.root(), self.target.plural);
            for form in ["", table, "application/vnd.kubernetes.protobuf"] {
                self.ask(Class::List, &nowhere, form);
            }
        }
    }

    fn watches(&mut self) {
        let path = with(&self.target.collection(), "watch=true&timeoutSeconds=1");
        for query in WATCH {
            self.ask(Class::Watch, &with(&path, query), "");
        }
        for form in WATCH_FORMS {
            self.ask(Class::Watch, &with(&path, "resourceVersion=0"), form);
        }
        let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
        for form in [WATCH_FORMS[2], WATCH_FORMS[4], WATCH_FORMS[5]] {
            self.ask(Class::Watch, &with(&path, initial), form);
        }
        let table = with(&path, "resourceVersion=0");
        for include in ["None", "Object", "x"] {
            self.ask(Class::Watch, &with(&table, &format!("includeObject={include}")), WATCH_FORMS[4]);
        }
        let (root, plural, name) = (self.target.root(), self.target.plural.clone(), self.target.name().to_owned());
        let old = match self.target.namespaced {
            true => format!("{root}/watch/namespaces/{}/{plural}", super::super::target::NAMESPACE),
            false => format!("{root}/watch/{plural}"),
        };
        self.ask(Class::Watch, &format!("{old}?timeoutSeconds=1&resourceVersion=0"), "");
        self.ask(Class::Watch, &format!("{old}/{name}?timeoutSeconds=1&resourceVersion=0"), "");
        self.ask(Class::Watch, &format!("{}?watch=true&timeoutSeconds=1&resourceVersion=0", self.target.path()), "");
    }
}
