package main

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"sort"
	"strings"
	"time"
	"unsafe"

	"google.golang.org/grpc"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	crdstore "k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	apiservicestore "k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"
	"k8s.io/kubernetes/pkg/controlplane"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	"k8s.io/kubernetes/pkg/kubeapiserver"
	"k8s.io/kubernetes/pkg/serviceaccount"

	admissionregistrationrest "k8s.io/kubernetes/pkg/registry/admissionregistration/rest"
	apiserverinternalrest "k8s.io/kubernetes/pkg/registry/apiserverinternal/rest"
	appsrest "k8s.io/kubernetes/pkg/registry/apps/rest"
	authenticationrest "k8s.io/kubernetes/pkg/registry/authentication/rest"
	authorizationrest "k8s.io/kubernetes/pkg/registry/authorization/rest"
	autoscalingrest "k8s.io/kubernetes/pkg/registry/autoscaling/rest"
	batchrest "k8s.io/kubernetes/pkg/registry/batch/rest"
	certificatesrest "k8s.io/kubernetes/pkg/registry/certificates/rest"
	coordinationrest "k8s.io/kubernetes/pkg/registry/coordination/rest"
	corerest "k8s.io/kubernetes/pkg/registry/core/rest"
	discoveryrest "k8s.io/kubernetes/pkg/registry/discovery/rest"
	eventsrest "k8s.io/kubernetes/pkg/registry/events/rest"
	flowcontrolrest "k8s.io/kubernetes/pkg/registry/flowcontrol/rest"
	lifecyclerest "k8s.io/kubernetes/pkg/registry/lifecycle/rest"
	networkingrest "k8s.io/kubernetes/pkg/registry/networking/rest"
	noderest "k8s.io/kubernetes/pkg/registry/node/rest"
	policyrest "k8s.io/kubernetes/pkg/registry/policy/rest"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	resourcerest "k8s.io/kubernetes/pkg/registry/resource/rest"
	schedulingrest "k8s.io/kubernetes/pkg/registry/scheduling/rest"
	storagerest "k8s.io/kubernetes/pkg/registry/storage/rest"
	svmrest "k8s.io/kubernetes/pkg/registry/storagemigration/rest"

	"skiff/facts/out"
)

// Row is what the registry of one resource is configured with.
type Row struct {
	Group          string              `json:"group"`
	Resource       string              `json:"resource"`
	Kind           string              `json:"kind"`
	Versions       []string            `json:"versions,omitempty"`
	Off            []string            `json:"off,omitempty"`
	Stored         string              `json:"stored,omitempty"`
	Prefix         string              `json:"prefix,omitempty"`
	Namespaced     bool                `json:"namespaced"`
	CreateOnUpdate bool                `json:"createOnUpdate,omitempty"`
	Unconditional  bool                `json:"unconditionalUpdate,omitempty"`
	Graceful       bool                `json:"graceful,omitempty"`
	GC             string              `json:"gc,omitempty"`
	ReturnDeleted  bool                `json:"returnDeleted,omitempty"`
	TTL            bool                `json:"ttl,omitempty"`
	Hooks          []string            `json:"hooks,omitempty"`
	Attrs          []string            `json:"attrs,omitempty"`
	Triggers       []string            `json:"triggers,omitempty"`
	Indexes        []string            `json:"indexes,omitempty"`
	ResetFields    map[string][]string `json:"resetFields,omitempty"`
	Subresources   []SubRow            `json:"subresources,omitempty"`
}

// SubRow is what is known of a subresource's registry.
type SubRow struct {
	Name        string              `json:"name"`
	Off         bool                `json:"off,omitempty"`
	ResetFields map[string][]string `json:"resetFields,omitempty"`
}

// capture is a RESTOptionsGetter whose stores have no storage, and which keeps what they asked for.
type capture struct {
	factory  serverstorage.StorageFactory
	fixed    *schema.GroupVersion // the storage version where there is no factory for the resource
	attrs    map[schema.GroupResource]storage.AttrFunc
	triggers map[schema.GroupResource][]string
	indexes  map[schema.GroupResource][]string
}

func newCapture(factory serverstorage.StorageFactory) *capture {
	return &capture{factory, nil, map[schema.GroupResource]storage.AttrFunc{}, map[schema.GroupResource][]string{}, map[schema.GroupResource][]string{}}
}

func (c *capture) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options := generic.RESTOptions{EnableGarbageCollection: true, DeleteCollectionWorkers: 1}
	if c.fixed != nil {
		config := storagebackend.Config{EncodeVersioner: runtime.NewMultiGroupVersioner(*c.fixed, schema.GroupKind{Group: c.fixed.Group})}
		options.StorageConfig = config.ForResource(resource)
		options.ResourcePrefix = resource.Group + "/" + resource.Resource
	} else {
		config, err := c.factory.NewConfig(resource, example)
		if err != nil {
			return options, err
		}
		options.StorageConfig = config
		options.ResourcePrefix = c.factory.ResourcePrefix(resource)
	}
	options.Decorator = func(_ *storagebackend.ConfigForResource, _ string, _ func(runtime.Object) (string, error), _, _ func() runtime.Object,
		attrs storage.AttrFunc, triggers storage.IndexerFuncs, indexers *cache.Indexers) (storage.Interface, factory.DestroyFunc, error) {
		c.attrs[resource] = attrs
		c.triggers[resource] = sortedKeys(triggers)
		if indexers != nil {
			c.indexes[resource] = sortedKeys(*indexers)
		}
		return nil, func() {}, nil
	}
	return options, nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// collectStorage reads the registries twice: as configured by default, and with every API version and feature gate on.
func collectStorage() []*Row {
	defaults := rowsOf(controlplane.DefaultAPIResourceConfigSource())
	everything := controlplane.DefaultAPIResourceConfigSource()
	for version := range everything.GroupVersionConfigs {
		everything.EnableVersions(version)
	}
	out.Must(utilfeature.DefaultMutableFeatureGate.Set("AllAlpha=true,AllBeta=true"))
	rows := rowsOf(everything)
	byKey := map[string]*Row{}
	for _, row := range defaults {
		byKey[row.Group+"/"+row.Resource] = row
	}
	for i, row := range rows {
		def := byKey[row.Group+"/"+row.Resource]
		if def == nil {
			row.Off, row.Versions = row.Versions, nil
			continue
		}
		rows[i] = merge(def, row)
	}
	return rows
}

// merge is the default row, with the versions and subresources that only exist when everything is on.
func merge(def, all *Row) *Row {
	for _, version := range all.Versions {
		if !contains(def.Versions, version) {
			def.Off = append(def.Off, version)
		}
	}
	var subs []SubRow
	for _, sub := range all.Subresources {
		known := false
		for _, d := range def.Subresources {
			if d.Name == sub.Name {
				subs, known = append(subs, d), true
				sub = d
			}
		}
		if !known {
			sub.Off = true
			subs = append(subs, sub)
		}
	}
	def.Subresources = subs
	// Versions that are off have reset fields too; upstream lists them whatever is on.
	for version, fields := range all.ResetFields {
		if old, ok := def.ResetFields[version]; ok && !reflect.DeepEqual(old, fields) {
			fmt.Println("note: feature gates change the reset fields of", def.Resource, version, ":", old, fields)
		}
	}
	return def
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func rowsOf(source *serverstorage.ResourceConfig) []*Row {
	config := kubeapiserver.NewStorageFactoryConfig()
	config.APIResourceConfig = source
	etcd := serveroptions.NewEtcdOptions(storagebackend.NewDefaultConfig("/registry", nil))
	etcd.StorageConfig.Transport.ServerList = []string{"http://" + listen()}
	factory, err := config.Complete(etcd).New()
	out.Must(err)
	options := newCapture(factory)
	served := servedVersions()
	var rows []*Row
	for _, provider := range providers(factory) {
		info, err := provider.NewRESTStorage(source, options)
		out.Must(err)
		rows = append(rows, groupRows(provider.GroupName(), info, options, served)...)
	}
	return append(rows, otherRows()...)
}

// listen starts a gRPC server without services: the service port allocator insists on a connection, and asks nothing of it.
func listen() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	out.Must(err)
	go func() { out.Must(grpc.NewServer().Serve(listener)) }()
	return listener.Addr().String()
}

// otherRows are the resources of the two API servers beside the main one.
func otherRows() []*Row {
	crdOptions, serviceOptions := newCapture(nil), newCapture(nil)
	crdOptions.fixed, serviceOptions.fixed = &apiextensionsv1.SchemeGroupVersion, &apiregistrationv1.SchemeGroupVersion
	crds, err := crdstore.NewREST(apiextensionsserver.Scheme, crdOptions)
	out.Must(err)
	services := apiservicestore.NewREST(aggregatorscheme.Scheme, serviceOptions)
	served := servedVersions()
	rows := groupRows(apiextensions.GroupName, genericapiserver.APIGroupInfo{Scheme: apiextensionsserver.Scheme, VersionedResourcesStorageMap: map[string]map[string]rest.Storage{
		"v1": {"customresourcedefinitions": crds, "customresourcedefinitions/status": crdstore.NewStatusREST(apiextensionsserver.Scheme, crds)},
	}}, crdOptions, served)
	return append(rows, groupRows(apiregistration.GroupName, genericapiserver.APIGroupInfo{Scheme: aggregatorscheme.Scheme, VersionedResourcesStorageMap: map[string]map[string]rest.Storage{
		"v1": {"apiservices": services, "apiservices/status": apiservicestore.NewStatusREST(aggregatorscheme.Scheme, services)},
	}}, serviceOptions, served)...)
}

// providers are upstream's, in its order (pkg/controlplane/instance.go StorageProviders).
func providers(factory serverstorage.StorageFactory) []controlplaneapiserver.RESTStorageProvider {
	loopback := &restclient.Config{Host: "http://127.0.0.1:1"}
	client := kubernetes.NewForConfigOrDie(loopback)
	informers := informers.NewSharedInformerFactory(client, 0)
	allow := authorizerfactory.NewAlwaysAllowAuthorizer()
	_, ips, err := net.ParseCIDR("10.96.0.0/16")
	out.Must(err)
	core, err := corerest.New(corerest.Config{
		GenericConfig: corerest.GenericConfig{
			StorageFactory: factory, EventTTL: time.Hour, LoopbackClientConfig: loopback, Informers: informers, ServiceAccountIssuer: issuer{},
		},
		Services:   corerest.ServicesConfig{ClusterIPRange: *ips, NodePortRange: utilnet.PortRange{Base: 30000, Size: 2768}, IPRepairInterval: time.Hour},
		Authorizer: allow,
	}, allow)
	out.Must(err)
	return []controlplaneapiserver.RESTStorageProvider{
		core,
		apiserverinternalrest.StorageProvider{},
		authenticationrest.RESTStorageProvider{},
		authorizationrest.RESTStorageProvider{Authorizer: allow},
		autoscalingrest.RESTStorageProvider{},
		batchrest.RESTStorageProvider{},
		certificatesrest.RESTStorageProvider{Authorizer: allow},
		coordinationrest.RESTStorageProvider{},
		discoveryrest.StorageProvider{},
		lifecyclerest.RESTStorageProvider{},
		networkingrest.RESTStorageProvider{},
		noderest.RESTStorageProvider{},
		policyrest.RESTStorageProvider{},
		rbacrest.RESTStorageProvider{Authorizer: allow},
		schedulingrest.RESTStorageProvider{},
		storagerest.RESTStorageProvider{},
		svmrest.RESTStorageProvider{},
		flowcontrolrest.RESTStorageProvider{InformerFactory: informers},
		appsrest.StorageProvider{},
		admissionregistrationrest.RESTStorageProvider{Authorizer: allow, DiscoveryClient: client.Discovery()},
		eventsrest.RESTStorageProvider{TTL: time.Hour},
		resourcerest.RESTStorageProvider{NamespaceClient: client.CoreV1().Namespaces(), Authorizer: allow},
	}
}

// issuer is a token generator that is there, so that the token subresource is.
type issuer struct{ serviceaccount.TokenGenerator }

func groupRows(group string, info genericapiserver.APIGroupInfo, options *capture, served map[string]bool) []*Row {
	rows := map[string]*Row{}
	var order []string
	var versions []string
	for version := range info.VersionedResourcesStorageMap {
		versions = append(versions, version)
	}
	sort.Slice(versions, func(i, j int) bool { return rank(versions[i]) < rank(versions[j]) })
	for _, version := range versions {
		resources := info.VersionedResourcesStorageMap[version]
		for _, name := range sortedKeys(resources) {
			if strings.Contains(name, "/") || !served[group+"/"+version+"/"+name] {
				continue
			}
			if row := rows[name]; row != nil {
				row.Versions = append(row.Versions, version)
				continue
			}
			row := newRow(group, name, resources[name], options, info.Scheme)
			row.Versions = []string{version}
			for _, path := range sortedKeys(resources) {
				if sub, ok := strings.CutPrefix(path, name+"/"); ok {
					row.Subresources = append(row.Subresources, SubRow{Name: sub, ResetFields: resetFields(resources[path])})
				}
			}
			rows[name] = row
			order = append(order, name)
		}
	}
	sort.Strings(order)
	var all []*Row
	for _, name := range order {
		all = append(all, rows[name])
	}
	return all
}

// rank orders versions: stable before beta before alpha, newer first.
func rank(version string) string {
	stage := "0"
	if strings.Contains(version, "beta") {
		stage = "1"
	} else if strings.Contains(version, "alpha") {
		stage = "2"
	}
	inverse := []byte(version)
	for i, c := range inverse {
		if c >= '0' && c <= '9' {
			inverse[i] = '9' - (c - '0')
		}
	}
	return stage + string(inverse)
}

func newRow(group, name string, held rest.Storage, options *capture, scheme *runtime.Scheme) *Row {
	row := &Row{Group: group, Resource: name, ResetFields: resetFields(held)}
	if scoper, ok := held.(rest.Scoper); ok {
		row.Namespaced = scoper.NamespaceScoped()
	}
	kinds, _, err := scheme.ObjectKinds(held.New())
	out.Must(err)
	row.Kind = kinds[0].Kind
	store := storeIn(reflect.ValueOf(held))
	if store == nil {
		return row
	}
	resource := store.DefaultQualifiedResource
	row.Prefix = strings.TrimPrefix(store.KeyRootFunc(context.Background()), "/")
	if stored, ok := store.StorageVersioner.KindForGroupVersionKinds(kinds); ok {
		row.Stored = stored.GroupVersion().String()
	}
	row.CreateOnUpdate = store.UpdateStrategy.AllowCreateOnUpdate(context.Background())
	row.Unconditional = store.UpdateStrategy.AllowUnconditionalUpdate(context.Background())
	_, row.Graceful = store.DeleteStrategy.(rest.RESTGracefulDeleteStrategy)
	if collected, ok := store.DeleteStrategy.(rest.GarbageCollectionDeleteStrategy); ok {
		row.GC = string(collected.DefaultGarbageCollectionPolicy(context.Background()))
	}
	row.ReturnDeleted, row.TTL = store.ReturnDeletedObject, store.TTLFunc != nil
	for hook, set := range map[string]bool{
		"beginCreate": store.BeginCreate != nil, "afterCreate": store.AfterCreate != nil, "beginUpdate": store.BeginUpdate != nil, "afterUpdate": store.AfterUpdate != nil,
		"afterDelete": store.AfterDelete != nil, "decorator": store.Decorator != nil, "deleteDuringUpdate": store.ShouldDeleteDuringUpdate != nil,
	} {
		if set {
			row.Hooks = append(row.Hooks, hook)
		}
	}
	sort.Strings(row.Hooks)
	if attrs := options.attrs[resource]; attrs != nil {
		_, fields, err := attrs(store.NewFunc())
		out.Must(err)
		row.Attrs = sortedKeys(fields)
	}
	row.Triggers, row.Indexes = options.triggers[resource], options.indexes[resource]
	return row
}

// storeIn finds the generic store that a registry embeds, however deep.
func storeIn(value reflect.Value) *genericregistry.Store {
	for value.Kind() == reflect.Interface || value.Kind() == reflect.Pointer {
		if store, ok := value.Interface().(*genericregistry.Store); ok {
			return store
		}
		if value.IsNil() {
			return nil
		}
		value = value.Elem()
	}
	if value.Kind() != reflect.Struct {
		return nil
	}
	for i := 0; i < value.NumField(); i++ {
		field := value.Type().Field(i)
		if field.Name == "store" && field.Type == reflect.TypeOf((*genericregistry.Store)(nil)) && value.CanAddr() {
			return *(**genericregistry.Store)(unsafe.Pointer(value.Field(i).UnsafeAddr()))
		}
		if !field.IsExported() || !field.Anonymous {
			continue
		}
		if store := storeIn(value.Field(i)); store != nil {
			return store
		}
	}
	return nil
}

// resetFields is the paths a strategy resets, by the API version they are of.
func resetFields(held rest.Storage) map[string][]string {
	strategy, ok := held.(rest.ResetFieldsStrategy)
	if !ok {
		return nil
	}
	all := map[string][]string{}
	for version, set := range strategy.GetResetFields() {
		var paths []string
		for path := range set.All() {
			paths = append(paths, strings.TrimPrefix(path.String(), "."))
		}
		sort.Strings(paths)
		all[string(version)] = paths
	}
	return all
}

func writeStorage(dir string, rows []*Row) error {
	f := out.New(dir, "storage.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/kubernetes", "k8s.io/apiextensions-apiserver", "k8s.io/kube-aggregator")) + ",")
	f.Array("resources", lines(rows), true)
	f.Text("}")
	return f.Close()
}
