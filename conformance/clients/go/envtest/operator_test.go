package envtest

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestAWidgetIsReconciled(t *testing.T) {
	ctx, namespace := namespace(t)
	made := widget(namespace, "one", 3)
	must(t, kube.Create(ctx, made))
	equal(t, made.Spec.Colour, "blue", "the default")
	seen := until(ctx, t, namespace, ready)
	equal(t, seen.Generation, 1, "a status and a finalizer make no generation")
	var owned corev1.ConfigMap
	must(t, kube.Get(ctx, client.ObjectKeyFromObject(made), &owned))
	equal(t, owned.Data["size"], "3", "the owned object")
	equal(t, owned.OwnerReferences[0].UID, made.UID, "its owner")
	must(t, kube.Patch(ctx, seen, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"size":4}}`))))
	until(ctx, t, namespace, func(_ string, widget *Widget) bool { return widget.Status.ObservedGeneration == 2 })
	must(t, kube.Get(ctx, client.ObjectKeyFromObject(made), &owned))
	equal(t, owned.Data["size"], "4", "the owned object follows")
	// What somebody takes away comes back.
	before := owned.UID
	must(t, kube.Delete(ctx, &owned))
	events, err := kube.Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(namespace))
	must(t, err)
	defer events.Stop()
	for event := range events.ResultChan() {
		if found, ok := event.Object.(*corev1.ConfigMap); ok && found.Name == "one" && found.UID != before {
			return
		}
	}
	t.Fatal("the watch ended before it was there again")
}

func TestTheFinalizerHoldsTheWidget(t *testing.T) {
	ctx, namespace := namespace(t)
	held := widget(namespace, "held", 1)
	held.Finalizers = []string{"skiff.test/test"}
	must(t, kube.Create(ctx, held))
	until(ctx, t, namespace, ready)
	equal(t, working.has(namespace+"/held"), true, "something is outside")
	must(t, kube.Delete(ctx, held))
	// The operator lets go, the test does not yet.
	left := until(ctx, t, namespace, func(_ string, widget *Widget) bool { return len(widget.Finalizers) == 1 })
	equal(t, left.Finalizers[0], "skiff.test/test", "who holds it")
	equal(t, left.DeletionTimestamp.IsZero(), false, "it is being deleted")
	equal(t, working.has(namespace+"/held"), false, "nothing is outside")
	left.Finalizers = append(left.Finalizers, "skiff.test/late")
	err := kube.Update(ctx, left)
	equal(t, apierrors.IsInvalid(err), true, "no finalizer comes late")
	must(t, kube.Get(ctx, client.ObjectKeyFromObject(held), left))
	left.Finalizers = nil
	must(t, kube.Update(ctx, left))
	equal(t, apierrors.IsNotFound(kube.Get(ctx, client.ObjectKeyFromObject(held), left)), true, "it is gone")
}

func TestOfTwoWritersOneLoses(t *testing.T) {
	ctx, namespace := namespace(t)
	must(t, kube.Create(ctx, widget(namespace, "both", 1)))
	first := until(ctx, t, namespace, ready)
	second := first.DeepCopyObject().(*Widget)
	first.Spec.Size, second.Spec.Size = 2, 3
	must(t, kube.Update(ctx, first))
	err := kube.Update(ctx, second)
	equal(t, apierrors.IsConflict(err), true, "a conflict")
	words := `Operation cannot be fulfilled on widgets.skiff.test "both": the object has been modified; ` +
		`please apply your changes to the latest version and try again`
	equal(t, err.Error(), words, "its words")
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(second), second); err != nil {
			return err
		}
		second.Spec.Size = 3
		return kube.Update(ctx, second)
	}))
	until(ctx, t, namespace, func(event string, widget *Widget) bool { return widget.Spec.Size == 3 && ready(event, widget) })
}

func TestStatusIsApartFromSpec(t *testing.T) {
	ctx, namespace := namespace(t)
	must(t, kube.Create(ctx, widget(namespace, "apart", 1)))
	seen := until(ctx, t, namespace, ready)
	seen.Spec.Size, seen.Status.Phase = 9, "Odd"
	must(t, kube.Status().Update(ctx, seen))
	equal(t, seen.Spec.Size, 1, "the spec is not the status' to change")
	equal(t, seen.Status.Phase, "Odd", "the status")
	// The operator puts it right, of which a watch tells.
	until(ctx, t, namespace, ready)
}

func TestWhatIsWrongIsRefused(t *testing.T) {
	ctx, namespace := namespace(t)
	cases := []struct {
		size          int
		colour, words string
	}{
		{0, "blue", `spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1`},
		{1, "pink", `spec.colour: Unsupported value: "pink": supported values: "red", "green", "blue"`},
		{10, "red", `red ones are small`},
		{13, "blue", `admission webhook "widgets.skiff.test" denied the request: 13 brings bad luck`},
	}
	for _, wrong := range cases {
		refused := widget(namespace, "wrong", wrong.size)
		refused.Spec.Colour = wrong.colour
		err := kube.Create(ctx, refused)
		if err == nil || !strings.Contains(err.Error(), wrong.words) {
			t.Fatalf("found %v, wanted %q", err, wrong.words)
		}
	}
	var none WidgetList
	must(t, kube.List(ctx, &none, client.InNamespace(namespace)))
	equal(t, len(none.Items), 0, "nothing of it is there")
}

func TestAWatchTellsAllInOrder(t *testing.T) {
	ctx, namespace := namespace(t)
	var before corev1.ConfigMapList
	must(t, kube.List(ctx, &before, client.InNamespace(namespace)))
	events, err := kube.Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: before.ResourceVersion}})
	must(t, err)
	defer events.Stop()
	told := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "told"}, Data: map[string]string{"a": "1"}}
	must(t, kube.Create(ctx, told))
	told.Data["a"] = "2"
	must(t, kube.Update(ctx, told))
	must(t, kube.Delete(ctx, told))
	var seen []string
	for event := range events.ResultChan() {
		seen = append(seen, string(event.Type)+" "+event.Object.(*corev1.ConfigMap).Data["a"])
		if len(seen) == 3 {
			break
		}
	}
	equal(t, strings.Join(seen, ", "), "ADDED 1, MODIFIED 2, DELETED 2", "events")
}

func TestTwoWhoApplyTheSameDisagree(t *testing.T) {
	ctx, namespace := namespace(t)
	apply := func(owner string, size int, more ...client.PatchOption) error {
		wanted := widget(namespace, "applied", size)
		wanted.TypeMeta = metav1.TypeMeta{Kind: "Widget", APIVersion: groupVersion.String()}
		return kube.Patch(ctx, wanted, client.Apply, append(more, client.FieldOwner(owner))...) //nolint:staticcheck
	}
	must(t, apply("one", 1))
	err := apply("two", 2)
	equal(t, apierrors.IsConflict(err), true, "a conflict")
	if !strings.Contains(err.Error(), `conflict with "one": .spec.size`) {
		t.Fatal(err)
	}
	must(t, apply("two", 2, client.ForceOwnership))
}
