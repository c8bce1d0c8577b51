package secrets

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"roadstead.dev/roadstead/internal/ecs"
)

// The stages that Secrets Manager moves by itself.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/getting-started.html#term_version
const (
	StageCurrent  = "AWSCURRENT"
	StagePrevious = "AWSPREVIOUS"
)

// Secret is one of Secrets Manager's, without its values. Values in the state are never changed in place.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_SecretListEntry.html
type Secret struct {
	Name string `json:"name"`
	// Suffix is the six characters that end its ARN, so that a secret of a name that was used before has another one.
	Suffix      string     `json:"suffix"`
	Description string     `json:"description,omitempty"`
	KMSKeyID    string     `json:"kmsKeyId,omitempty"`
	Tags        []ecs.Tag  `json:"tags,omitempty"`
	CreatedAt   ecs.Millis `json:"createdAt"`
	ChangedAt   ecs.Millis `json:"changedAt,omitempty"`
	// DeletedAt is when its deletion was asked for, and GoneAt when it is carried out; 0 while it is not deleted.
	DeletedAt ecs.Millis `json:"deletedAt,omitempty"`
	GoneAt    ecs.Millis `json:"goneAt,omitempty"`
	// Versions are the oldest first.
	Versions []Version `json:"versions,omitempty"`
}

// Version is a value of a secret's. A stage is at one version at most.
type Version struct {
	ID        string     `json:"id"`
	Stages    []string   `json:"stages,omitempty"`
	CreatedAt ecs.Millis `json:"createdAt"`
	// Binary tells SecretBinary from SecretString.
	Binary bool `json:"binary,omitempty"`
}

// SecretValue is the encrypted value of a version.
type SecretValue struct {
	Secret  string `json:"secret"`
	Version string `json:"version"`
	Value   Sealed `json:"value"`
}

// Key is a secret's in the state.
func (s *Secret) Key() string { return keyOf(s.Name) }

// SecretKey is the key of the secret of a name.
func SecretKey(name string) string { return keyOf(name) }

// Key is a value's in the state: the secret's and the version's.
func (v *SecretValue) Key() string { return SecretValueKey(v.Secret, v.Version) }

// SecretValueKey is the key of the value of a version.
func SecretValueKey(name, version string) string { return keyOf(name) + "/" + keyOf(version) }

// SystemKey is a file of keys of the installation's own, which all its servers must have alike.
type SystemKey struct {
	Name  string `cbor:"1,keyasint"`
	Value Sealed `cbor:"2,keyasint"`
}

// Key is its name.
func (k *SystemKey) Key() string { return k.Name }

// Of is what the value is sealed as.
func (k *SystemKey) Of() string { return fmt.Sprintf("system key %q", k.Name) }

// Of is what the value is sealed as.
func (v *SecretValue) Of() string { return fmt.Sprintf("secret %q version %q", v.Secret, v.Version) }

// keyOf writes a name without the slash that parts the elements of keys.
func keyOf(name string) string { return url.PathEscape(name) }

// ARN names the secret.
func (s *Secret) ARN(p ecs.Place) string {
	return "arn:aws:secretsmanager:" + p.Region + ":" + p.Account + ":secret:" + s.Name + "-" + s.Suffix
}

// Version finds the version of an id; nil if there is none. What it gives must not be changed.
func (s *Secret) Version(id string) *Version {
	i := slices.IndexFunc(s.Versions, func(v Version) bool { return v.ID == id })
	if i < 0 {
		return nil
	}
	return &s.Versions[i]
}

// At finds the version that a stage is at; nil if there is none.
func (s *Secret) At(stage string) *Version {
	i := slices.IndexFunc(s.Versions, func(v Version) bool { return slices.Contains(v.Stages, stage) })
	if i < 0 {
		return nil
	}
	return &s.Versions[i]
}

// Clone copies what may then be changed.
func (s *Secret) Clone() *Secret {
	c := *s
	c.Versions = slices.Clone(s.Versions)
	for i := range c.Versions {
		c.Versions[i].Stages = slices.Clone(c.Versions[i].Stages)
	}
	c.Tags = slices.Clone(s.Tags)
	return &c
}

// Move puts a stage at a version, or takes it away where the version is empty. AWSCURRENT leaves AWSPREVIOUS where it was. The
// secret is a clone.
func (s *Secret) Move(stage, to string) {
	from := s.At(stage)
	if from != nil && from.ID == to {
		return
	}
	if from != nil {
		from.Stages = slices.DeleteFunc(from.Stages, func(at string) bool { return at == stage })
		if stage == StageCurrent && to != "" {
			was := from.ID
			s.Move(StagePrevious, was)
		}
	}
	if v := s.Version(to); v != nil {
		v.Stages = append(v.Stages, stage)
	}
}

// Parameter is one of the Parameter Store's with all of its versions, the oldest first.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterMetadata.html
type Parameter struct {
	Name           string             `json:"name"`
	Tier           string             `json:"tier,omitempty"`
	DataType       string             `json:"dataType,omitempty"`
	AllowedPattern string             `json:"allowedPattern,omitempty"`
	Tags           []ecs.Tag          `json:"tags,omitempty"`
	Versions       []ParameterVersion `json:"versions"`
}

// ParameterVersion is what one PutParameter made.
type ParameterVersion struct {
	Number      int64      `json:"number"`
	Type        string     `json:"type"`
	Description string     `json:"description,omitempty"`
	KeyID       string     `json:"keyId,omitempty"`
	Labels      []string   `json:"labels,omitempty"`
	ModifiedAt  ecs.Millis `json:"modifiedAt"`
	ModifiedBy  string     `json:"modifiedBy,omitempty"`
}

// ParameterValue is the encrypted value of a version, whatever its type.
type ParameterValue struct {
	Parameter string `json:"parameter"`
	Number    int64  `json:"number"`
	Value     Sealed `json:"value"`
}

// Key is a parameter's in the state.
func (p *Parameter) Key() string { return ParameterKey(p.Name) }

// ParameterKey is the key of the parameter of a name; a slash before the first element makes no other name.
func ParameterKey(name string) string { return keyOf(strings.TrimPrefix(name, "/")) }

// Key is a value's in the state.
func (v *ParameterValue) Key() string { return ParameterValueKey(v.Parameter, v.Number) }

// ParameterValueKey is the key of the value of a version.
func ParameterValueKey(name string, number int64) string {
	return fmt.Sprintf("%s/%012d", ParameterKey(name), number)
}

// Of is what the value is sealed as.
func (v *ParameterValue) Of() string {
	return fmt.Sprintf("parameter %q version %d", v.Parameter, v.Number)
}

// Latest is the newest version.
func (p *Parameter) Latest() *ParameterVersion { return &p.Versions[len(p.Versions)-1] }

// Clone copies what may then be changed.
func (p *Parameter) Clone() *Parameter {
	c := *p
	c.Versions = slices.Clone(p.Versions)
	for i := range c.Versions {
		c.Versions[i].Labels = slices.Clone(c.Versions[i].Labels)
	}
	c.Tags = slices.Clone(p.Tags)
	return &c
}

// ARN names the parameter.
func (p *Parameter) ARN(at ecs.Place) string {
	return "arn:aws:ssm:" + at.Region + ":" + at.Account + ":parameter/" + strings.TrimPrefix(p.Name, "/")
}
