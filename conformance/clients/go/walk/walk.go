// Package walk is what the programs beside it share: where the cluster is, a namespace of their own, and saying what is wrong.
package walk

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Must ends the program with the error.
func Must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// Equal ends the program when what was found is not what was wanted.
func Equal(found, wanted any, what string) {
	if !reflect.DeepEqual(found, wanted) {
		fmt.Fprintf(os.Stderr, "%s: found %v, wanted %v\n", what, found, wanted)
		os.Exit(1)
	}
}

// Config is how $KUBECONFIG says to reach the cluster.
func Config() *rest.Config {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	Must(err, "kubeconfig")
	config.QPS, config.Burst = 500, 500
	return config
}

// Namespace makes one and waits until pods could be made in it.
func Namespace(ctx context.Context, client kubernetes.Interface, prefix string) string {
	made, err := client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}, metav1.CreateOptions{})
	Must(err, "create a namespace")
	accounts, err := client.CoreV1().ServiceAccounts(made.Name).Watch(ctx, metav1.ListOptions{})
	Must(err, "watch service accounts")
	defer accounts.Stop()
	Equal((<-accounts.ResultChan()).Type, watch.Added, "the default service account")
	return made.Name
}

// Leave deletes the namespace and waits until it is gone.
func Leave(ctx context.Context, client kubernetes.Interface, name string) {
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	Must(err, "list namespaces")
	events, err := client.CoreV1().Namespaces().Watch(ctx,
		metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: list.ResourceVersion})
	Must(err, "watch namespaces")
	defer events.Stop()
	Must(client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}), "delete the namespace")
	for event := range events.ResultChan() {
		if event.Type == watch.Deleted {
			_, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
			Equal(apierrors.IsNotFound(err), true, "a namespace that was deleted is gone")
			return
		}
	}
	Must(fmt.Errorf("the watch ended before it was gone"), "delete the namespace")
}

// Limit is how long a whole walk may take on a machine that stalls at times.
const Limit = 3 * time.Minute
