// Program reconciler is an operator as people write them: controller-runtime with leader election. For each ConfigMap with
// the label `copy` it keeps a Secret of the same data, owned by it.
package main

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	. "skiff/clients/walk"
)

type copies struct {
	client.Client
}

// Reconcile makes the Secret say what the ConfigMap says.
func (c copies) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var source corev1.ConfigMap
	if err := c.Get(ctx, request.NamespacedName, &source); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if _, wanted := source.Labels["copy"]; !wanted {
		return ctrl.Result{}, nil
	}
	target := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: source.Name, Namespace: source.Namespace}}
	_, err := controllerutil.CreateOrUpdate(ctx, c, target, func() error {
		target.Data = map[string][]byte{}
		for key, value := range source.Data {
			target.Data[key] = []byte(value)
		}
		return controllerutil.SetControllerReference(&source, target, c.Scheme())
	})
	return ctrl.Result{}, err
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	ctrl.SetLogger(logr.Discard())
	plain, err := kubernetes.NewForConfig(Config())
	Must(err, "client")
	namespace := Namespace(ctx, plain, "reconciler-")
	leads, stop := context.WithCancel(ctx)
	operator, err := ctrl.NewManager(Config(), ctrl.Options{
		Metrics:                       server.Options{BindAddress: "0"},
		LeaderElection:                true,
		LeaderElectionID:              "copies",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
	})
	Must(err, "operator")
	Must(ctrl.NewControllerManagedBy(operator).For(&corev1.ConfigMap{}).Owns(&corev1.Secret{}).
		Complete(copies{operator.GetClient()}), "controller")
	ended := make(chan error, 1)
	go func() { ended <- operator.Start(leads) }()
	<-operator.Elected()

	watched := watched{ctx, plain, namespace}
	maps := plain.CoreV1().ConfigMaps(namespace)
	source, err := maps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "one", Labels: map[string]string{"copy": "yes"}},
		Data:       map[string]string{"a": "1"},
	}, metav1.CreateOptions{})
	Must(err, "create")
	watched.until("a copy", func(secret *corev1.Secret) bool { return string(secret.Data["a"]) == "1" })
	source.Data["a"] = "2"
	_, err = maps.Update(ctx, source, metav1.UpdateOptions{})
	Must(err, "update")
	copied := watched.until("a new copy", func(secret *corev1.Secret) bool { return string(secret.Data["a"]) == "2" })
	Equal(copied.OwnerReferences[0].UID, source.UID, "the owner")
	// What somebody takes away comes back.
	Must(plain.CoreV1().Secrets(namespace).Delete(ctx, "one", metav1.DeleteOptions{}), "delete the copy")
	watched.until("the copy again", func(secret *corev1.Secret) bool { return secret.UID != copied.UID })

	lease, err := plain.CoordinationV1().Leases(namespace).Get(ctx, "copies", metav1.GetOptions{})
	Must(err, "lease")
	Equal(*lease.Spec.HolderIdentity != "", true, "somebody leads")
	stop()
	Must(<-ended, "the operator")
	lease, err = plain.CoordinationV1().Leases(namespace).Get(ctx, "copies", metav1.GetOptions{})
	Must(err, "lease")
	Equal(*lease.Spec.HolderIdentity, "", "nobody leads")
	// With the operator gone, the copy goes with its owner.
	Must(maps.Delete(ctx, "one", metav1.DeleteOptions{}), "delete the source")
	watched.untilGone()
	Leave(ctx, plain, namespace)
	fmt.Println("controller-runtime: all is as it should be")
}

type watched struct {
	context.Context
	kubernetes.Interface
	namespace string
}

// until waits for a Secret `one` that is as it should be.
func (w watched) until(what string, fits func(*corev1.Secret) bool) *corev1.Secret {
	events, err := w.CoreV1().Secrets(w.namespace).Watch(w, metav1.ListOptions{FieldSelector: "metadata.name=one"})
	Must(err, "watch")
	defer events.Stop()
	for event := range events.ResultChan() {
		if secret, ok := event.Object.(*corev1.Secret); ok && event.Type != "DELETED" && fits(secret) {
			return secret
		}
	}
	Must(fmt.Errorf("the watch ended"), what)
	return nil
}

func (w watched) untilGone() {
	list, err := w.CoreV1().Secrets(w.namespace).List(w, metav1.ListOptions{FieldSelector: "metadata.name=one"})
	Must(err, "list")
	if len(list.Items) == 0 {
		return
	}
	events, err := w.CoreV1().Secrets(w.namespace).Watch(w,
		metav1.ListOptions{FieldSelector: "metadata.name=one", ResourceVersion: list.ResourceVersion})
	Must(err, "watch")
	defer events.Stop()
	for event := range events.ResultChan() {
		if event.Type == "DELETED" {
			_, err := w.CoreV1().Secrets(w.namespace).Get(w, "one", metav1.GetOptions{})
			Equal(apierrors.IsNotFound(err), true, "it is gone")
			return
		}
	}
	Must(fmt.Errorf("the watch ended"), "the copy goes with its owner")
}
