package ecs

import (
	"fmt"
	"strings"
)

// SecretReference is a valueFrom, taken apart: a secret of Secrets Manager's, or a parameter.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
type SecretReference struct {
	// Parameter tells that ID is the name or ARN of a parameter, and else the ARN of a secret, or its name where only that is
	// given (a registry's credentials).
	Parameter bool
	ID        string
	// Region is that of an ARN; "" for a name.
	Region string
	// JSONKey asks for one member of a secret that is a JSON object. Stage and Version choose a version; both may be empty.
	JSONKey, Stage, Version string
}

// An ARN of a secret has seven parts, and three more after it where a part or a version of it is meant.
const (
	secretARNParts   = 7
	secretWholeParts = 10
)

// ParseSecretReference reads the valueFrom of a container's secret or of a log driver's.
func ParseSecretReference(valueFrom string) (SecretReference, error) {
	if !strings.HasPrefix(valueFrom, "arn:") {
		if valueFrom == "" {
			return SecretReference{}, fmt.Errorf("a secret's valueFrom is empty")
		}
		return SecretReference{Parameter: true, ID: valueFrom}, nil
	}
	parts := strings.Split(valueFrom, ":")
	if len(parts) < 6 {
		return SecretReference{}, fmt.Errorf("%s is no ARN of a secret or a parameter", valueFrom)
	}
	switch {
	case parts[2] == "ssm" && strings.HasPrefix(parts[5], "parameter/"):
		return SecretReference{Parameter: true, ID: valueFrom, Region: parts[3]}, nil
	case parts[2] == "secretsmanager" && len(parts) == secretARNParts:
		return SecretReference{ID: valueFrom, Region: parts[3]}, nil
	case parts[2] == "secretsmanager" && len(parts) == secretWholeParts:
		return SecretReference{ID: strings.Join(parts[:secretARNParts], ":"), Region: parts[3], JSONKey: parts[7], Stage: parts[8], Version: parts[9]}, nil
	}
	return SecretReference{}, fmt.Errorf("an invalid ARN format for the AWS Secrets Manager secret was specified. Specify a valid ARN and try again: %s", valueFrom)
}

// SecretReferences are all that the task's definition names, the same one perhaps more than once. What cannot be read is left out.
func (d *TaskDefinition) SecretReferences() []SecretReference {
	var out []SecretReference
	add := func(list []Secret) {
		for _, s := range list {
			if r, err := ParseSecretReference(s.ValueFrom); err == nil {
				out = append(out, r)
			}
		}
	}
	for i := range d.ContainerDefinitions {
		c := &d.ContainerDefinitions[i]
		add(c.Secrets)
		if c.LogConfiguration != nil {
			add(c.LogConfiguration.SecretOptions)
		}
		if c.RepositoryCredentials != nil && c.RepositoryCredentials.CredentialsParameter != "" {
			out = append(out, SecretReference{ID: c.RepositoryCredentials.CredentialsParameter})
		}
	}
	return out
}
