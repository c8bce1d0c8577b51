package firelens

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
)

// routedTask has a router of a type and a container whose output it takes.
func routedTask(kind, network string, router, app map[string]string) *ecs.TaskDefinition {
	return &ecs.TaskDefinition{
		Family: "web", Revision: 7, NetworkMode: network, ContainerDefinitions: []ecs.ContainerDefinition{
			{Name: "app", LogConfiguration: &ecs.LogConfiguration{LogDriver: "awsfirelens", Options: app}},
			{Name: "router", Memory: aws.Int32(100), FirelensConfiguration: &ecs.FirelensConfiguration{Type: kind, Options: router}},
		},
	}
}

func config(d *ecs.TaskDefinition, cluster, arn string) (string, error) {
	return (&Task{Definition: d, Network: d.NetworkMode, Cluster: cluster, ARN: arn}).Config()
}

// TestConfig has the configurations that Amazon's agent makes of the same definitions.
func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		d    *ecs.TaskDefinition
		want string
	}{
		"Fluent Bit on a bridge": {routedTask("fluentbit", "bridge", map[string]string{"config-file-type": "file", "config-file-value": "/extra.conf"},
			map[string]string{"Name": "cloudwatch", "region": "us-east-1", "auto_create_group": "true", "include-pattern": "^a", "exclude-pattern": "b$", "log-driver-buffer-limit": "9"}), `[INPUT]
    Name forward
    Mem_Buf_Limit 50MB
    unix_path /var/run/fluent.sock
[INPUT]
    Name forward
    Listen 0.0.0.0
    Port 24224
[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Listen 127.0.0.1
    Port 8877
[FILTER]
    Name grep
    Match app-firelens*
    Regex log ^a
[FILTER]
    Name grep
    Match app-firelens*
    Exclude log b$
[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster default
    Record ecs_task_arn arn:x
    Record ecs_task_definition web:7
@INCLUDE /extra.conf
[OUTPUT]
    Name null
    Match firelens-healthcheck
[OUTPUT]
    Name cloudwatch
    Match app-firelens*
    auto_create_group true
    region us-east-1
`},
		"fluentd in awsvpc": {routedTask("fluentd", "awsvpc", nil, map[string]string{"@type": "stdout", "exclude-pattern": "x"}), `<source>
    @type unix
    path /var/run/fluent.sock
</source>
<source>
    @type forward
    bind 127.0.0.1
    port 24224
</source>
<filter app-firelens**>
    @type grep
    <exclude>
        key log
        pattern x
    </exclude>
</filter>
<filter **>
    @type record_transformer
    <record>
        ecs_cluster default
        ecs_task_arn arn:x
        ecs_task_definition web:7
    </record>
</filter>
<match app-firelens**>
    @type stdout
</match>
`},
		"the host's network, without metadata": {routedTask("fluentd", "host", map[string]string{"enable-ecs-log-metadata": "false"}, nil), `<source>
    @type unix
    path /var/run/fluent.sock
</source>
`},
	} {
		got, err := config(c.d, "default", "arn:x")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	_, err := config(routedTask("fluentbit", "bridge", nil, map[string]string{"region": "x"}), "c", "arn")
	if err == nil || !strings.Contains(err.Error(), "missing output key Name which is required for firelens configuration of type fluentbit") {
		t.Error(err)
	}
	d := routedTask("fluentbit", "bridge", nil, map[string]string{"Name": "http"})
	d.ContainerDefinitions[0].LogConfiguration.SecretOptions = []ecs.Secret{{Name: "http_Passwd", ValueFrom: "p"}}
	if got, err := config(d, "c", "arn"); err != nil || !strings.Contains(got, "    http_Passwd ${http_Passwd_0}\n") {
		t.Error(got, err)
	}
}
