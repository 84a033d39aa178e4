// Package main is the lab's control plane: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler and kubectl in one executable, so that they are linked once.
//
// The name it is called by picks the program; called by its own name, the first argument does.
// Every program keeps its own flags and its own behaviour; nothing is changed here.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var programs = map[string]func() int{
	"etcd": func() int {
		etcdmain.Main(os.Args)
		return 0
	},
	"kube-apiserver":          component(apiserver.NewAPIServerCommand),
	"kube-controller-manager": component(controllermanager.NewControllerManagerCommand),
	"kube-scheduler": component(func() *cobra.Command {
		return scheduler.NewSchedulerCommand()
	}),
	"kubectl": func() int {
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err)
		}
		return 0
	},
}

func component(command func() *cobra.Command) func() int {
	return func() int { return cli.Run(command()) }
}

func main() {
	program, found := programs[filepath.Base(os.Args[0])]
	if !found && len(os.Args) > 1 {
		// The programs see themselves as the first argument, as they would when called by name.
		os.Args = os.Args[1:]
		program, found = programs[os.Args[0]]
	}
	if !found {
		fmt.Fprintf(os.Stderr, "usage: control-plane %s [argument...]\n", strings.Join(names(), "|"))
		os.Exit(2)
	}
	os.Exit(program())
}

func names() []string {
	list := make([]string, 0, len(programs))
	for name := range programs {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}
