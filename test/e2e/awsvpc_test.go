package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// upWithSubnets starts an installation whose subnets hardly are those of another one on the machine.
func upWithSubnets(t *testing.T) *installation {
	t.Helper()
	in := newInstallation(t)
	in.flags = []string{"--subnet-range", fmt.Sprintf("100.%d.0.0/16", 64+rand.IntN(64))}
	in.start()
	return in
}

// runInSubnet runs tasks with interfaces of their own, and gives their ARNs.
func (in *installation) runInSubnet(family string, count int32, groups ...string) []string {
	in.t.Helper()
	out, err := in.ECS.RunTask(in.t.Context(), &ecs.RunTaskInput{TaskDefinition: &family, Count: &count, NetworkConfiguration: &types.NetworkConfiguration{
		AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-0123456789abcdef0"}, SecurityGroups: groups}}})
	if err != nil || len(out.Tasks) != int(count) {
		in.t.Fatalf("RunTask: %v, %+v", err, out)
	}
	var arns []string
	for _, task := range out.Tasks {
		arns = append(arns, *task.TaskArn)
	}
	return arns
}

// interfaceOf is what a task shows of its interface, by name.
func interfaceOf(t *testing.T, task types.Task) map[string]string {
	t.Helper()
	if len(task.Attachments) != 1 || aws.ToString(task.Attachments[0].Type) != "ElasticNetworkInterface" {
		t.Fatalf("attachments %+v", task.Attachments)
	}
	details := map[string]string{"status": aws.ToString(task.Attachments[0].Status)}
	for _, d := range task.Attachments[0].Details {
		details[*d.Name] = *d.Value
	}
	for _, c := range task.Containers {
		if len(c.NetworkInterfaces) != 1 || *c.NetworkInterfaces[0].AttachmentId != *task.Attachments[0].Id || *c.NetworkInterfaces[0].PrivateIpv4Address != details["privateIPv4Address"] {
			t.Errorf("container %s: interfaces %+v, and the task's is %v", *c.Name, c.NetworkInterfaces, details)
		}
	}
	return details
}

// TestAwsvpc: the containers of a task share an interface with an address of its subnet, by which other tasks and the host reach it,
// and by which it reaches its metadata and credentials.
func TestAwsvpc(t *testing.T) {
	in := upWithSubnets(t)
	server := types.ContainerDefinition{Name: aws.String("server"), Image: aws.String("roadstead/hello:latest"), Memory: aws.Int32(32), StopTimeout: aws.Int32(2),
		PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(8080)}}}
	client := types.ContainerDefinition{Name: aws.String("client"), Image: aws.String("roadstead/busybox:latest"), Memory: aws.Int32(32), StopTimeout: aws.Int32(2),
		DependsOn: []types.ContainerDependency{{ContainerName: aws.String("server"), Condition: types.ContainerConditionStart}}, LogConfiguration: awslogs("/awsvpc"),
		Command: []string{"sh", "-c", `until wget -qO- http://127.0.0.1:8080/; do sleep 0.05; done
			echo mac=$(cat /sys/class/net/eth0/address) host=$(hostname) && wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task && echo &&
			wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI && echo && echo done; sleep 600`}}
	_, err := in.ECS.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{Family: aws.String("pair"), NetworkMode: types.NetworkModeAwsvpc,
		TaskRoleArn: aws.String(webRole), ContainerDefinitions: []types.ContainerDefinition{server, client}})
	if err != nil {
		t.Fatal(err)
	}
	arn := in.runInSubnet("pair", 1, "sg-0123456789abcdef0")[0]
	task := in.wait(arn, "RUNNING")
	face := interfaceOf(t, task)
	if face["status"] != "ATTACHED" || face["subnetId"] != "subnet-0123456789abcdef0" || !strings.HasPrefix(face["networkInterfaceId"], "eni-") || face["macAddress"] == "" {
		t.Errorf("interface %v", face)
	}
	ip := face["privateIPv4Address"]
	if want := "ip-" + strings.ReplaceAll(ip, ".", "-") + ".ec2.internal"; face["privateDnsName"] != want {
		t.Errorf("name %q, want %q", face["privateDnsName"], want)
	}
	eventually(t, "the client's log", func() bool { return strings.Contains(in.events("/awsvpc"), "done") })
	text := in.events("/awsvpc")
	for _, want := range []string{"Hello from Roadstead", "mac=" + face["macAddress"] + " host=" + face["privateDnsName"],
		`"IPv4Addresses":["` + ip + `"]`, `"NetworkMode":"awsvpc"`, `"MACAddress":"` + face["macAddress"] + `"`, `"RoleArn":"` + webRole + `"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if body := fetch(t, "http://"+ip+":8080/"); !strings.Contains(body, "Hello from Roadstead") {
		t.Errorf("the host is answered %q", body)
	}
	in.register("asks", types.NetworkModeAwsvpc, types.ContainerDefinition{Name: aws.String("c"), LogConfiguration: awslogs("/asks"),
		Command: []string{"sh", "-c", "wget -qO- http://" + ip + ":8080/"}})
	other := in.wait(in.runInSubnet("asks", 1, "sg-0123456789abcdef0")[0], "STOPPED")
	if code := other.Containers[0].ExitCode; code == nil || *code != 0 || interfaceOf(t, other)["status"] != "DELETED" {
		t.Errorf("another task of the subnet: exit %v, %v\n%s", aws.ToInt32(code), interfaceOf(t, other), in.events("/asks"))
	}
	in.stopTask(arn, "")
	if names := in.networks(); len(names) > 0 {
		t.Errorf("networks of tasks that have stopped: %v", names)
	}
}

// networks are the network namespaces of the installation, which a task that is STOPPED has none of.
func (in *installation) networks() []string {
	in.t.Helper()
	var names []string
	for _, dir := range []string{"netns", "containers"} {
		entries, err := os.ReadDir(filepath.Join(in.dir, "node", "network", dir))
		if err != nil {
			in.t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names
}

// bridgeName is that of the installation, with which the names of all its interfaces begin.
func (in *installation) bridgeName() string {
	in.t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		in.t.Fatal(err)
	}
	for _, l := range links {
		if l.Attrs().Alias == "roadstead "+filepath.Join(in.dir, "node", "network") {
			return l.Attrs().Name
		}
	}
	in.t.Fatal("the installation has no bridge")
	return ""
}

// kernelState is what the kernel has of an installation: its interfaces, its routes, and its firewall's rules and elements.
func kernelState(t *testing.T, bridge string) []string {
	t.Helper()
	var out []string
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, bridge) {
			out = append(out, "interface "+l.Attrs().Name)
		}
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if !strings.HasPrefix(table.Name, "roadstead_"+strings.TrimPrefix(bridge, "rs")) {
			continue
		}
		sets, err := conn.GetSets(table)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sets {
			elements, err := conn.GetSetElements(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s set %s: %d", table.Name, s.Name, len(elements)))
		}
		chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chains {
			if c.Table.Name == table.Name {
				rules, err := conn.GetRules(table, c)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, fmt.Sprintf("%s chain %s: %d", table.Name, c.Name, len(rules)))
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestAwsvpcLeavesNothing: 50 tasks come and go, the node is killed among them, and the machine is as before.
func TestAwsvpcLeavesNothing(t *testing.T) {
	in := upWithSubnets(t)
	bridge := in.bridgeName()
	before := kernelState(t, bridge)
	in.register("idle", types.NetworkModeAwsvpc, types.ContainerDefinition{Name: aws.String("c"), Memory: aws.Int32(6), StopTimeout: aws.Int32(2), Command: []string{"sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"}})
	var arns []string
	for range 4 {
		arns = append(arns, in.runInSubnet("idle", 10)...)
	}
	survivor := in.wait(arns[0], "RUNNING")
	in.kill() // while others start
	in.start()
	arns = append(arns, in.runInSubnet("idle", 10)...)
	seen := map[string]bool{}
	for _, arn := range arns {
		task := in.wait(arn, "RUNNING")
		seen[interfaceOf(t, task)["privateIPv4Address"]] = true
	}
	if len(seen) != len(arns) {
		t.Errorf("%d addresses for %d tasks", len(seen), len(arns))
	}
	if now := in.describe(arns[0]); *now.Containers[0].RuntimeId != *survivor.Containers[0].RuntimeId {
		t.Error("a running task was started again")
	}
	for _, arn := range arns {
		if _, err := in.ECS.StopTask(t.Context(), &ecs.StopTaskInput{Task: &arn}); err != nil {
			t.Fatal(err)
		}
	}
	for _, arn := range arns {
		in.wait(arn, "STOPPED")
	}
	if names := in.networks(); len(names) > 0 {
		t.Errorf("networks of tasks that have stopped: %v", names)
	}
	if diff := cmp.Diff(before, kernelState(t, bridge)); diff != "" {
		t.Error("left behind:", diff)
	}
}
