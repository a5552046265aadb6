// Program verbs walks through what client-go can ask for: typed in protobuf and JSON, dynamic, discovery, informers.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"

	. "skiff/clients/walk"
)

type walker struct {
	context.Context
	kubernetes.Interface
	namespace string
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	for _, form := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		config := Config()
		config.ContentType = form
		client, err := kubernetes.NewForConfig(config)
		Must(err, "client")
		w := walker{ctx, client, Namespace(ctx, client, "go-")}
		w.pages()
		w.watches()
		w.applies()
		w.patches()
		w.refusals()
		w.subresources()
		w.informs()
		w.collections()
		Leave(ctx, client, w.namespace)
	}
	others(ctx)
	fmt.Println("client-go: all is as it should be")
}

func (w walker) maps() interface {
	Create(context.Context, *corev1.ConfigMap, metav1.CreateOptions) (*corev1.ConfigMap, error)
} {
	return w.CoreV1().ConfigMaps(w.namespace)
}

func (w walker) create(name string, colour string) *corev1.ConfigMap {
	made, err := w.maps().Create(w, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"colour": colour}},
		Data:       map[string]string{"a": "1"},
	}, metav1.CreateOptions{})
	Must(err, "create "+name)
	return made
}

// 25 objects in pages of 10, all as of one version.
func (w walker) pages() {
	for i := range 25 {
		w.create(fmt.Sprintf("page-%02d", i), []string{"red", "blue"}[i%2])
	}
	options := metav1.ListOptions{Limit: 10}
	var names, versions []string
	var sizes, remaining []int64
	for {
		page, err := w.CoreV1().ConfigMaps(w.namespace).List(w, options)
		Must(err, "list a page")
		sizes = append(sizes, int64(len(page.Items)))
		if page.RemainingItemCount != nil {
			remaining = append(remaining, *page.RemainingItemCount)
		}
		for _, item := range page.Items {
			if strings.HasPrefix(item.Name, "page-") {
				names = append(names, item.Name)
			}
		}
		versions = append(versions, page.ResourceVersion)
		if len(versions) == 1 {
			// What comes in between is not on later pages.
			w.create("page-99", "red")
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	total := sizes[0] + sizes[1] + sizes[2]
	Equal(len(names), 25, "names over all pages")
	Equal(names[24], "page-24", "the last name")
	Equal(remaining, []int64{total - 10, total - 20}, "remainingItemCount")
	Equal(versions, []string{versions[0], versions[0], versions[0]}, "versions of pages")
	blue, err := w.CoreV1().ConfigMaps(w.namespace).List(w, metav1.ListOptions{LabelSelector: "colour in (blue)", Limit: 5})
	Must(err, "list by label")
	Equal(len(blue.Items), 5, "blue ones on a page")
	Equal(blue.RemainingItemCount == nil, true, "with a selector nobody says how many remain")
	_, err = w.CoreV1().ConfigMaps(w.namespace).List(w, metav1.ListOptions{Limit: 5, Continue: "bm9uc2Vuc2U"})
	Equal(apierrors.IsBadRequest(err), true, "a forged token")
}

func (w walker) watches() {
	maps := w.CoreV1().ConfigMaps(w.namespace)
	first := w.create("watched", "green")
	events, err := maps.Watch(w, metav1.ListOptions{ResourceVersion: first.ResourceVersion, LabelSelector: "colour=green"})
	Must(err, "watch")
	first.Data["a"] = "2"
	second, err := maps.Update(w, first, metav1.UpdateOptions{})
	Must(err, "update")
	// For who looks at green ones alone, this is an end.
	second.Labels["colour"] = "grey"
	third, err := maps.Update(w, second, metav1.UpdateOptions{})
	Must(err, "update")
	Must(maps.Delete(w, "watched", metav1.DeleteOptions{}), "delete")
	var seen []watch.EventType
	for range 2 {
		event := <-events.ResultChan()
		seen = append(seen, event.Type)
		if event.Type == watch.Deleted {
			Equal(event.Object.(*corev1.ConfigMap).ResourceVersion, third.ResourceVersion, "when it ceased to be green")
		}
	}
	events.Stop()
	Equal(seen, []watch.EventType{watch.Modified, watch.Deleted}, "events of green ones")
	// Resumed where it stopped.
	events, err = maps.Watch(w, metav1.ListOptions{ResourceVersion: second.ResourceVersion, FieldSelector: "metadata.name=watched"})
	Must(err, "watch")
	seen = nil
	for range 2 {
		seen = append(seen, (<-events.ResultChan()).Type)
	}
	events.Stop()
	Equal(seen, []watch.EventType{watch.Modified, watch.Deleted}, "events since the second")
	w.streamsList()
}

// A list as a watch: what there is, then a bookmark that says that this was all.
func (w walker) streamsList() {
	yes := true
	events, err := w.CoreV1().ConfigMaps(w.namespace).Watch(w, metav1.ListOptions{
		SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
		LabelSelector: "colour=blue",
	})
	Must(err, "watch a list")
	defer events.Stop()
	count := 0
	for event := range events.ResultChan() {
		if event.Type == watch.Bookmark {
			Equal(event.Object.(*corev1.ConfigMap).Annotations[metav1.InitialEventsAnnotationKey], "true", "the bookmark")
			break
		}
		Equal(event.Type, watch.Added, "what there is")
		count++
	}
	Equal(count, 12, "blue ones")
}

func (w walker) applies() {
	maps := w.CoreV1().ConfigMaps(w.namespace)
	wanted := corev1apply.ConfigMap("applied", w.namespace).WithData(map[string]string{"a": "1", "b": "2"})
	made, err := maps.Apply(w, wanted, metav1.ApplyOptions{FieldManager: "one"})
	Must(err, "apply")
	Equal(made.ManagedFields[0].Operation, metav1.ManagedFieldsOperationApply, "who has fields")
	same, err := maps.Apply(w, wanted, metav1.ApplyOptions{FieldManager: "one"})
	Must(err, "apply again")
	Equal(same.ResourceVersion, made.ResourceVersion, "nothing to do")
	other := corev1apply.ConfigMap("applied", w.namespace).WithData(map[string]string{"a": "other"})
	_, err = maps.Apply(w, other, metav1.ApplyOptions{FieldManager: "two"})
	Equal(apierrors.IsConflict(err), true, "a field of another's")
	Equal(strings.Contains(err.Error(), `conflict with "one": .data.a`), true, err.Error())
	forced, err := maps.Apply(w, other, metav1.ApplyOptions{FieldManager: "two", Force: true})
	Must(err, "apply with force")
	Equal(forced.Data, map[string]string{"a": "other", "b": "2"}, "data")
	extracted, err := corev1apply.ExtractConfigMap(forced, "one")
	Must(err, "extract")
	Equal(extracted.Data, map[string]string{"b": "2"}, "what the first still has")
	less, err := maps.Apply(w, corev1apply.ConfigMap("applied", w.namespace), metav1.ApplyOptions{FieldManager: "one"})
	Must(err, "apply nothing")
	Equal(less.Data, map[string]string{"a": "other"}, "data")
}

func deployment(name string) *appsv1.Deployment {
	match := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: match},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: match},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example/main:1"}}},
			},
		},
	}
}

func (w walker) patches() {
	deployments := w.AppsV1().Deployments(w.namespace)
	made, err := deployments.Create(w, deployment("web"), metav1.CreateOptions{})
	Must(err, "create a deployment")
	Equal(*made.Spec.Replicas, int32(1), "a default")
	Equal(made.Generation, int64(1), "generation")
	side := `{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"registry.example/side:1"}]}}}}`
	patched, err := deployments.Patch(w, "web", types.StrategicMergePatchType, []byte(side), metav1.PatchOptions{})
	Must(err, "strategic patch")
	Equal(len(patched.Spec.Template.Spec.Containers), 2, "containers")
	Equal(patched.Generation, int64(2), "generation")
	patched, err = deployments.Patch(w, "web", types.MergePatchType, []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{})
	Must(err, "merge patch")
	Equal(*patched.Spec.Replicas, int32(3), "replicas")
	patched, err = deployments.Patch(w, "web", types.JSONPatchType,
		[]byte(`[{"op":"remove","path":"/spec/template/spec/containers/0"}]`), metav1.PatchOptions{})
	Must(err, "json patch")
	Equal(patched.Spec.Template.Spec.Containers[0].Name, "main", "the container that stays")
	dry, err := deployments.Patch(w, "web", types.MergePatchType, []byte(`{"spec":{"replicas":9}}`),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	Must(err, "dry run")
	Equal(*dry.Spec.Replicas, int32(9), "what would be")
	found, err := deployments.Get(w, "web", metav1.GetOptions{})
	Must(err, "get")
	Equal(*found.Spec.Replicas, int32(3), "what is")
}

func (w walker) refusals() {
	maps := w.CoreV1().ConfigMaps(w.namespace)
	_, err := maps.Get(w, "nothing", metav1.GetOptions{})
	Equal(apierrors.IsNotFound(err), true, "what is not there")
	_, err = w.maps().Create(w, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "applied"}}, metav1.CreateOptions{})
	Equal(apierrors.IsAlreadyExists(err), true, "what is there")
	old, err := maps.Get(w, "applied", metav1.GetOptions{})
	Must(err, "get")
	old.ResourceVersion = "1"
	_, err = maps.Update(w, old, metav1.UpdateOptions{})
	Equal(apierrors.IsConflict(err), true, "an old version")
	_, err = w.maps().Create(w, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not A Name"}}, metav1.CreateOptions{})
	Equal(apierrors.IsInvalid(err), true, "a bad name")
	status := err.(apierrors.APIStatus).Status()
	Equal(status.Details.Causes[0].Field, "metadata.name", "the field that is wrong")
	wrong := deployment("wrong")
	wrong.Spec.Template.Labels = nil
	_, err = w.AppsV1().Deployments(w.namespace).Create(w, wrong, metav1.CreateOptions{})
	Equal(apierrors.IsInvalid(err), true, "labels that the selector does not match")
	uid := types.UID("00000000-0000-0000-0000-000000000000")
	err = maps.Delete(w, "applied", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	Equal(apierrors.IsConflict(err), true, "another object of that name")
}

func (w walker) subresources() {
	deployments := w.AppsV1().Deployments(w.namespace)
	scale, err := deployments.GetScale(w, "web", metav1.GetOptions{})
	Must(err, "get scale")
	Equal(scale.Status.Selector, "app=web", "the selector in scale")
	scale.Spec.Replicas = 5
	_, err = deployments.UpdateScale(w, "web", scale, metav1.UpdateOptions{})
	Must(err, "update scale")
	found, err := deployments.Get(w, "web", metav1.GetOptions{})
	Must(err, "get")
	found.Status.ObservedGeneration, *found.Spec.Replicas = found.Generation, 7
	found, err = deployments.UpdateStatus(w, found, metav1.UpdateOptions{})
	Must(err, "update status")
	Equal(*found.Spec.Replicas, int32(5), "status leaves the spec alone")
	Equal(found.Status.ObservedGeneration, found.Generation, "status")
	review, err := w.AuthorizationV1().SelfSubjectAccessReviews().Create(w, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "delete", Resource: "nodes"}}}, metav1.CreateOptions{})
	Must(err, "review")
	Equal(review.Status.Allowed, true, "the administrator may")
}

// A shared informer sees what there was, what comes and what goes, and its lister finds it by label.
func (w walker) informs() {
	factory := informers.NewSharedInformerFactoryWithOptions(w, 0, informers.WithNamespace(w.namespace))
	maps := factory.Core().V1().ConfigMaps()
	gone := make(chan string, 100)
	come := make(chan string, 100)
	_, err := maps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { come <- object.(*corev1.ConfigMap).Name },
		DeleteFunc: func(object any) {
			if found, ok := object.(*corev1.ConfigMap); ok {
				gone <- found.Name
			}
		},
	})
	Must(err, "handler")
	stop := make(chan struct{})
	factory.Start(stop)
	Equal(cache.WaitForCacheSync(w.Done(), maps.Informer().HasSynced), true, "synced")
	found, err := maps.Lister().ConfigMaps(w.namespace).List(labels.SelectorFromSet(labels.Set{"colour": "blue"}))
	Must(err, "lister")
	Equal(len(found), 12, "blue ones in the informer")
	w.create("late", "blue")
	for name := range come {
		if name == "late" {
			break
		}
	}
	Must(w.CoreV1().ConfigMaps(w.namespace).Delete(w, "late", metav1.DeleteOptions{}), "delete")
	Equal(<-gone, "late", "gone in the informer")
	close(stop)
	factory.Shutdown()
}

func (w walker) collections() {
	maps := w.CoreV1().ConfigMaps(w.namespace)
	Must(maps.DeleteCollection(w, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "colour=blue"}), "delete a collection")
	left, err := maps.List(w, metav1.ListOptions{LabelSelector: "colour"})
	Must(err, "list")
	Equal(len(left.Items), 14, "what is left")
}

// Clients that know no kinds: discovery, the mapper, dynamic and metadata.
func others(ctx context.Context) {
	client, err := kubernetes.NewForConfig(Config())
	Must(err, "client")
	version, err := client.Discovery().ServerVersion()
	Must(err, "version")
	Equal([]string{version.Major, version.Minor}, []string{"1", "37"}, "version")
	groups, err := restmapper.GetAPIGroupResources(client.Discovery())
	Must(err, "discovery")
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	Must(err, "mapping")
	Equal(mapping.Resource.String(), "apps/v1, Resource=deployments", "mapping")
	anything, err := dynamic.NewForConfig(Config())
	Must(err, "dynamic")
	namespace := Namespace(ctx, client, "go-")
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "dynamic"}}}
	text, err := json.Marshal(deployment("dynamic").Spec)
	Must(err, "json")
	var spec map[string]any
	Must(json.Unmarshal(text, &spec), "json")
	object.Object["spec"] = spec
	made, err := anything.Resource(mapping.Resource).Namespace(namespace).Apply(ctx, "dynamic", object, metav1.ApplyOptions{FieldManager: "me"})
	Must(err, "apply")
	replicas, _, err := unstructured.NestedInt64(made.Object, "spec", "replicas")
	Must(err, "replicas")
	Equal(replicas, int64(1), "a default")
	heads, err := metadata.NewForConfig(Config())
	Must(err, "metadata")
	list, err := heads.Resource(mapping.Resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
	Must(err, "list metadata")
	Equal(len(list.Items), 1, "heads")
	Equal(list.Items[0].UID, made.GetUID(), "the head of the object")
	Leave(ctx, client, namespace)
}
