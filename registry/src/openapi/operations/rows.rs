//! The operations of a row in one of its versions.

use api::{EcoString, Gvk};
use resources::row::{Subresource, Verbs};

use super::{Content, Form, Operation, Payload, media, names};
use crate::{
    definition::{Definition, Served},
    openapi::{
        custom,
        facts::Facts,
        parameters::{self, Parameter},
    },
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// A resource or a subresource, and the words its operations are made of.
struct Subject<'a> {
    form: &'a Form,
    facts: Facts,
    /// `AppsV1`, `apps_v1`
    group_version: String,
    tag: String,
    /// `/apis/apps/v1/`
    base: String,
    namespaced: bool,
    plural: EcoString,
    /// The parent's, which operation ids and texts name.
    kind: EcoString,
    /// `""` for the resource itself.
    subresource: &'static str,
    /// What is sent and answered.
    gvk: Gvk,
    schema: String,
    list: String,
    /// Whether there is a protobuf form, and with it all that only built-in kinds have.
    is_built_in: bool,
}

/// All operations of a definition in a version it serves.
pub fn of(form: &Form, definition: &Definition, served: &Served) -> Vec<Operation> {
    let mut subject = Subject::new(form, definition, served);
    let mut all = subject.main(definition, served);
    for subresource in served.does.subresources {
        subject.turn_to(subresource, served);
        all.extend(subject.below(subresource));
    }
    for operation in &mut all {
        operation.parameters.sort_by(|a, b| (&a.name, a.place).cmp(&(&b.name, b.place)));
    }
    all
}

impl<'a> Subject<'a> {
    fn new(form: &'a Form, definition: &Definition, served: &Served) -> Subject<'a> {
        let row = &definition.row;
        let version = &served.gvk.version;
        let (group_version, tag) = names(&row.group, version);
        let base = match row.group.as_str() {
            "" => format!("/api/{version}/"),
            group => format!("/apis/{group}/{version}/"),
        };
        Subject {
            form,
            facts: Facts::new(),
            group_version,
            tag,
            base,
            namespaced: row.namespaced,
            plural: row.plural.clone(),
            kind: row.kind.clone(),
            subresource: "",
            gvk: served.gvk.clone(),
            schema: served.schema.to_string(),
            list: custom::list_name(served),
            is_built_in: definition.world.has_protobuf(),
        }
    }

    /// Makes a subresource the subject.
    fn turn_to(&mut self, subresource: &Subresource, served: &Served) {
        self.subresource = subresource.name();
        (self.gvk, self.schema) = match subresource {
            Subresource::Status(_) | Subresource::Update { .. } => (served.gvk.clone(), served.schema.to_string()),
            Subresource::Scale { .. } => self.foreign(Gvk::new("autoscaling", "v1", "Scale")),
            Subresource::Create { group, version, kind, schema, .. } => {
                (Gvk::new(*group, *version, *kind), (*schema).into())
            }
            Subresource::Connect { verbs, .. } if reads(verbs) => (served.gvk.clone(), served.schema.to_string()),
            Subresource::Connect { options, .. } => {
                self.foreign(Gvk::new(served.gvk.group.clone(), served.gvk.version.clone(), *options))
            }
        };
    }

    fn foreign(&self, gvk: Gvk) -> (Gvk, String) {
        let name = self.facts.kind(&gvk.group, &gvk.version, &gvk.kind).unwrap_or_default().to_string();
        (gvk, name)
    }

    /// The resource's own operations.
    fn main(&self, definition: &Definition, served: &Served) -> Vec<Operation> {
        let verbs = definition.row.verbs;
        let mut all = Vec::new();
        if verbs != Verbs::CreateOnly {
            all.extend(self.reads(verbs != Verbs::ReadOnly));
        }
        if verbs != Verbs::ReadOnly {
            all.push(self.create(self.collection()));
        }
        if definition.row.stores() {
            all.push(self.write("put"));
            all.push(self.write("patch"));
            let status = format!("{META}.Status");
            let returned = if returns_deleted(definition, served) { self.schema.clone() } else { status };
            all.push(self.delete(returned));
        }
        if verbs == Verbs::All {
            all.push(self.delete_collection());
        }
        all
    }

    /// Lists, reads and, where there are any, watches.
    fn reads(&self, watches: bool) -> Vec<Operation> {
        let mut all = vec![self.read(), self.list(self.collection(), "")];
        let everywhere = format!("{}{}", self.base, self.plural);
        if self.namespaced {
            all.push(self.list(everywhere.clone(), "ForAllNamespaces"));
        }
        if !self.is_built_in {
            return all;
        }
        if !watches {
            all[1].doc = format!("list objects of kind {}", self.kind);
            return all;
        }
        let watched = |path: &str| path.replacen(&self.base, &format!("{}watch/", self.base), 1);
        all.push(self.watch(watched(&self.item()), "watch", ""));
        all.push(self.watch(watched(&self.collection()), "watchlist", ""));
        if self.namespaced {
            all.push(self.watch(watched(&everywhere), "watchlist", "ForAllNamespaces"));
        }
        all
    }

    /// A subresource's operations.
    fn below(&self, subresource: &Subresource) -> Vec<Operation> {
        match subresource {
            Subresource::Create { .. } => vec![self.create(self.item())],
            Subresource::Connect { verbs, options, .. } if reads(verbs) => vec![self.read_text(options)],
            Subresource::Connect { verbs, with_path, .. } => self.connect(verbs, *with_path),
            other => {
                let verbs = other.verbs();
                let read = verbs.contains(&"get").then(|| self.read());
                let put = verbs.contains(&"update").then(|| self.write("put"));
                let patch = verbs.contains(&"patch").then(|| self.write("patch"));
                read.into_iter().chain(put).chain(patch).collect()
            }
        }
    }

    // --- one operation each

    fn read(&self) -> Operation {
        let doc = format!("read {}the specified {}", self.of_sub(), self.kind);
        self.operation(self.item(), "get", "get", "read", "", doc).answering(&[200], &self.schema)
    }

    /// Reads what is no object but text: logs. Upstream: `GetterWithOptions`.
    fn read_text(&self, options: &str) -> Operation {
        let mut operation = self.read();
        operation.answers = vec![(200, Content::Text)];
        operation.produces.insert(0, "text/plain");
        let (_, options) = self.foreign(Gvk::new(self.gvk.group.clone(), self.gvk.version.clone(), options));
        operation.parameters.extend(parameters::of(&self.facts, &options, &[]));
        operation
    }

    fn list(&self, path: String, suffix: &str) -> Operation {
        let doc = format!("list or watch objects of kind {}", self.kind);
        let mut operation = self.operation(path, "get", "list", "list", suffix, doc);
        operation.produces = self.streams();
        operation.parameters.extend(self.options("ListOptions", &[]));
        operation.answering(&[200], &self.list)
    }

    fn watch(&self, path: String, action: &'static str, suffix: &str) -> Operation {
        let kind = &self.kind;
        let deprecated = "deprecated: use the 'watch' parameter with a list operation instead";
        let (suffix, doc) = match action {
            "watch" => {
                let single = "filtered to a single item with the 'fieldSelector' parameter";
                (suffix.into(), format!("watch changes to an object of kind {kind}. {deprecated}, {single}."))
            }
            _ => (format!("List{suffix}"), format!("watch individual changes to a list of {kind}. {deprecated}.")),
        };
        let mut operation = self.operation(path, "get", action, "watch", &suffix, doc);
        operation.produces = self.streams();
        operation.parameters.extend(self.options("ListOptions", &[]));
        operation.answering(&[200], &format!("{META}.WatchEvent"))
    }

    fn create(&self, path: String) -> Operation {
        let of = if self.subresource.is_empty() { String::new() } else { format!("{} of", self.subresource) };
        let doc = format!("create {of}{}{}", article(&self.kind), self.kind).replace("  ", " ");
        let mut operation = self.operation(path, "post", "post", "create", "", doc);
        operation.parameters.extend(self.options("CreateOptions", &[]));
        operation.sending(&self.schema, true).answering(&[200, 201, 202], &self.schema)
    }

    /// PUT and PATCH.
    fn write(&self, method: &'static str) -> Operation {
        let patch = method == "patch";
        let (verb, word, options) = match patch {
            true => ("patch", "partially update", "PatchOptions"),
            false => ("replace", "replace", "UpdateOptions"),
        };
        let doc = format!("{word} {}the specified {}", self.of_sub(), self.kind);
        let mut operation = self.operation(self.item(), method, method, verb, "", doc);
        operation.parameters.extend(self.options(options, &[]));
        let operation = operation.answering(&[200, 201], &self.schema);
        if !patch {
            return operation.sending(&self.schema, true);
        }
        let mut operation = operation.sending(&format!("{META}.Patch"), true);
        operation.consumes = vec![
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
        ];
        if !self.is_built_in {
            operation.consumes.retain(|media| *media != "application/strategic-merge-patch+json");
        }
        if self.form.cbor {
            operation.consumes.push("application/apply-patch+cbor");
        }
        operation
    }

    fn delete(&self, returned: String) -> Operation {
        let doc = format!("delete{}{}", article(&self.kind), self.kind);
        let mut operation = self.operation(self.item(), "delete", "delete", "delete", "", doc);
        operation.parameters.extend(self.options("DeleteOptions", &[]));
        operation.sending(&format!("{META}.DeleteOptions"), false).answering(&[200, 202], &returned)
    }

    fn delete_collection(&self) -> Operation {
        let doc = format!("delete collection of {}", self.kind);
        // The id's verb is "delete", the rest of the word stands after the version. Upstream: GetOperationIDAndTags.
        let mut operation = self.operation(self.collection(), "delete", "deletecollection", "delete", "", doc);
        operation.id = operation.id.replacen(&self.group_version, &format!("{}Collection", self.group_version), 1);
        operation.parameters.extend(self.options("DeleteOptions", &[]));
        operation.parameters.extend(self.options("ListOptions", &["watch", "allowWatchBookmarks"]));
        operation.sending(&format!("{META}.DeleteOptions"), false).answering(&[200], &format!("{META}.Status"))
    }

    /// Streams and proxies, a method at a time.
    fn connect(&self, verbs: &[&str], with_path: bool) -> Vec<Operation> {
        let mut methods: Vec<&'static str> = Vec::new();
        for (verb, made) in CONNECTS {
            if verbs.contains(verb) {
                methods.extend(*made);
            }
        }
        // What takes every verb takes the methods that are none as well.
        if with_path {
            methods.extend(["head", "options"]);
        }
        let mut all = Vec::new();
        for method in methods {
            all.push(self.connect_one(self.item(), method, ""));
            if with_path {
                let mut operation = self.connect_one(format!("{}/{{path}}", self.item()), method, "WithPath");
                operation.parameters.push(Parameter::path("path", "path to the resource"));
                all.push(operation);
            }
        }
        all
    }

    fn connect_one(&self, path: String, method: &'static str, suffix: &str) -> Operation {
        let doc = format!("connect {} requests to {} of {}", method.to_uppercase(), self.subresource, self.kind);
        let mut operation = self.operation(path, method, "connect", "connect", suffix, doc);
        operation.id = operation.id.replacen(&self.group_version, &(self.group_version.clone() + &title(method)), 1);
        operation.parameters.retain(|p| p.name != "pretty");
        operation.parameters.extend(parameters::of(&self.facts, &self.schema, &[]));
        operation.produces = vec!["*/*"];
        operation.answers = vec![(200, Content::Text)];
        operation
    }

    // --- what they have in common

    fn operation(
        &self,
        path: String,
        method: &'static str,
        action: &'static str,
        verb: &str,
        suffix: &str,
        doc: String,
    ) -> Operation {
        let everywhere = suffix.ends_with("ForAllNamespaces");
        let namespaced = if self.namespaced && !everywhere { "Namespaced" } else { "" };
        let id = [verb, &self.group_version, namespaced, &self.kind, &title(self.subresource), suffix].concat();
        let mut parameters = vec![Parameter::query("pretty", "string", parameters::word("pretty"))];
        if path.contains("{namespace}") {
            parameters.push(Parameter::path("namespace", "object name and auth scope, such as for teams and projects"));
        }
        if path.contains("{name}") {
            parameters.push(Parameter::path("name", &format!("name of the {}", self.gvk.kind)));
        }
        Operation {
            path,
            method,
            id,
            tag: self.tag.clone(),
            doc,
            action,
            gvk: Some(self.gvk.clone()),
            parameters,
            body: None,
            consumes: vec!["*/*"],
            produces: self.media(),
            answers: Vec::new(),
        }
    }

    fn collection(&self) -> String {
        match self.namespaced {
            true => format!("{}namespaces/{{namespace}}/{}", self.base, self.plural),
            false => format!("{}{}", self.base, self.plural),
        }
    }

    fn item(&self) -> String {
        let below = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        format!("{}/{{name}}{below}", self.collection())
    }

    /// `status of `, or nothing.
    fn of_sub(&self) -> String {
        if self.subresource.is_empty() { String::new() } else { format!("{} of ", self.subresource) }
    }

    fn options(&self, kind: &str, without: &[&str]) -> Vec<Parameter> {
        parameters::of(&self.facts, &format!("{META}.{kind}"), without)
    }

    /// What objects are written in.
    fn media(&self) -> Vec<&'static str> {
        let mut all = media(self.form);
        if !self.is_built_in {
            all.retain(|media| !media.ends_with("protobuf"));
        }
        all
    }

    /// What lists and watches produce.
    fn streams(&self) -> Vec<&'static str> {
        let mut all = self.media();
        if !self.is_built_in {
            return all;
        }
        all.extend(["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]);
        if self.form.cbor {
            all.push("application/cbor-seq");
        }
        all
    }
}

impl Operation {
    fn sending(mut self, schema: &str, required: bool) -> Operation {
        self.body = Some(Payload { schema: schema.into(), required });
        self
    }

    fn answering(mut self, codes: &[u16], schema: &str) -> Operation {
        self.answers = codes.iter().map(|code| (*code, Content::Type(schema.into()))).collect();
        self
    }
}

/// The methods behind the verbs of a proxy or stream.
const CONNECTS: &[(&str, &[&str])] =
    &[("get", &["get"]), ("create", &["post"]), ("update", &["put"]), ("patch", &["patch"]), ("delete", &["delete"])];

/// Only read, never connected to.
fn reads(verbs: &[&str]) -> bool {
    verbs == ["get"]
}

/// Whether the document says that DELETE answers the object. Namespaces answer it and do not say so, upstream too.
fn returns_deleted(definition: &Definition, served: &Served) -> bool {
    definition.row.verbs == Verbs::All && (definition.returns_deleted || served.version.returns_deleted)
}

/// ` a ` or ` an `, or a space before a plural. Upstream: `GetArticleForNoun`.
fn article(noun: &str) -> &'static str {
    if noun.ends_with('s') && !noun.ends_with("ss") {
        return " ";
    }
    if noun.starts_with(['A', 'E', 'I', 'O', 'U']) { " an " } else { " a " }
}

fn title(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
