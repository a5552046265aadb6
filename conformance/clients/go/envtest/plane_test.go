package envtest

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func TestAUserMayWhatRolesSay(t *testing.T) {
	ctx, namespace := namespace(t)
	user, err := environment.AddUser(envtest.User{Name: "anna", Groups: []string{"painters"}}, nil)
	must(t, err)
	anna, err := client.New(user.Config(), client.Options{})
	must(t, err)
	var all WidgetList
	err = anna.List(ctx, &all, client.InNamespace(namespace))
	words := `widgets.skiff.test is forbidden: User "anna" cannot list resource "widgets" in API group "skiff.test" ` +
		`in the namespace "` + namespace + `"`
	equal(t, fmt.Sprint(err), words, "without a role")
	named := metav1.ObjectMeta{Namespace: namespace, Name: "painters"}
	must(t, kube.Create(ctx, &rbacv1.Role{ObjectMeta: named, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"skiff.test"}, Resources: []string{"widgets"}, Verbs: []string{"list"}},
	}}))
	must(t, kube.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: named,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "painters"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "painters"}},
	}))
	// Upstream's authorizer learns of a role a moment after who wrote it.
	for err = anna.List(ctx, &all, client.InNamespace(namespace)); apierrors.IsForbidden(err); {
		err = anna.List(ctx, &all, client.InNamespace(namespace))
	}
	must(t, err)
}

func TestKubectlReachesIt(t *testing.T) {
	user, err := environment.AddUser(envtest.User{Name: "anna", Groups: []string{"system:masters"}}, nil)
	must(t, err)
	kubectl, err := user.Kubectl()
	must(t, err)
	kubectl.Path = environment.ControlPlane.KubectlPath
	out, failed, err := kubectl.Run("auth", "whoami", "-o=jsonpath={.status.userInfo.username}")
	said, _ := io.ReadAll(out)
	why, _ := io.ReadAll(failed)
	if err != nil {
		t.Fatalf("%v: %s", err, why)
	}
	equal(t, string(said), "anna", "who asks")
}

// Tests that start one server over and over find what the last one wrote.
func TestDataOutliveTheServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	own := &envtest.Environment{ControlPlaneStartTimeout: limit, ControlPlaneStopTimeout: limit}
	server := own.ControlPlane.GetAPIServer()
	server.CertDir = t.TempDir()
	server.Configure().Append("feature-gates", "AllAlpha=false").Append("v", "2")
	config, err := own.Start()
	must(t, err)
	defer func() { must(t, own.Stop()) }()
	first, err := client.New(config, client.Options{})
	must(t, err)
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}, Data: map[string]string{"a": "1"}}
	must(t, first.Create(ctx, kept))
	must(t, server.Stop())
	must(t, server.Start())
	second, err := client.New(config, client.Options{})
	must(t, err)
	var found corev1.ConfigMap
	must(t, second.Get(ctx, client.ObjectKeyFromObject(kept), &found))
	equal(t, found.UID, kept.UID, "the object of before")
	found.Data["a"] = "2"
	must(t, second.Update(ctx, &found))
}

func TestSeveralRunBesideEachOther(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var group sync.WaitGroup
	problems := make(chan error, 3)
	for i := range 3 {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := alone(ctx, fmt.Sprintf("only-%d", i)); err != nil {
				problems <- err
			}
		}()
	}
	group.Wait()
	close(problems)
	for problem := range problems {
		t.Error(problem)
	}
}

// alone starts a control plane that has nothing in it of anybody else's.
func alone(ctx context.Context, name string) error {
	own := &envtest.Environment{ControlPlaneStartTimeout: limit, ControlPlaneStopTimeout: limit}
	config, err := own.Start()
	if err != nil {
		return err
	}
	defer own.Stop() //nolint:errcheck
	kube, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if err := kube.Create(ctx, wanted); err != nil {
		return err
	}
	var all corev1.ConfigMapList
	if err := kube.List(ctx, &all, client.InNamespace("default")); err != nil {
		return err
	}
	for _, found := range all.Items {
		if found.Name != name && found.Name != "kube-root-ca.crt" {
			return fmt.Errorf("%s is where it should not be", found.Name)
		}
	}
	return nil
}
