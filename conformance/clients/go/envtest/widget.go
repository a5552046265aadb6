// Package envtest is a small operator as people write them with controller-runtime, and its tests beside it: what they start
// is in $KUBEBUILDER_ASSETS.
package envtest

import (
	"context"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

var groupVersion = schema.GroupVersion{Group: "skiff.test", Version: "v1"}

// Widget is crd/widgets.yaml in Go.
type Widget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              WidgetSpec   `json:"spec"`
	Status            WidgetStatus `json:"status,omitempty"`
}

type WidgetSpec struct {
	Size   int    `json:"size"`
	Colour string `json:"colour,omitempty"`
}

type WidgetStatus struct {
	Phase              string `json:"phase,omitempty"`
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
}

type WidgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Widget `json:"items"`
}

func (w *Widget) DeepCopyObject() runtime.Object {
	copied := *w
	copied.ObjectMeta = *w.ObjectMeta.DeepCopy()
	return &copied
}

func (l *WidgetList) DeepCopyObject() runtime.Object {
	copied := *l
	copied.ListMeta = *l.ListMeta.DeepCopy()
	copied.Items = make([]Widget, len(l.Items))
	for i := range l.Items {
		copied.Items[i] = *l.Items[i].DeepCopyObject().(*Widget)
	}
	return &copied
}

func addToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(groupVersion, &Widget{}, &WidgetList{})
	metav1.AddToGroupVersion(scheme, groupVersion)
	return nil
}

const finalizer = "skiff.test/outside"

// operator keeps a ConfigMap for each Widget, and something outside of the cluster that it takes away before the Widget goes.
type operator struct {
	client.Client
	mutex   sync.Mutex
	outside map[string]int
}

func (o *operator) has(key string) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	_, found := o.outside[key]
	return found
}

func (o *operator) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var widget Widget
	if err := o.Get(ctx, request.NamespacedName, &widget); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	key := request.String()
	if !widget.DeletionTimestamp.IsZero() {
		o.mutex.Lock()
		delete(o.outside, key)
		o.mutex.Unlock()
		if controllerutil.RemoveFinalizer(&widget, finalizer) {
			return ctrl.Result{}, o.Update(ctx, &widget)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(&widget, finalizer) {
		return ctrl.Result{}, o.Update(ctx, &widget)
	}
	o.mutex.Lock()
	o.outside[key] = widget.Spec.Size
	o.mutex.Unlock()
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: widget.Name, Namespace: widget.Namespace}}
	_, err := controllerutil.CreateOrUpdate(ctx, o, owned, func() error {
		owned.Data = map[string]string{"size": strconv.Itoa(widget.Spec.Size), "colour": widget.Spec.Colour}
		return controllerutil.SetControllerReference(&widget, owned, o.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	wanted := WidgetStatus{Phase: "Ready", ObservedGeneration: widget.Generation}
	if widget.Status == wanted {
		return ctrl.Result{}, nil
	}
	widget.Status = wanted
	return ctrl.Result{}, o.Status().Update(ctx, &widget)
}
