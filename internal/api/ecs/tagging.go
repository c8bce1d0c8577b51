package ecsapi

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"roadstead.dev/roadstead/internal/api/mirror"
	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/state"
)

// Limits of tags.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html#tag-restrictions
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// tags reads and checks tags that a caller gives.
func tags(in []types.Tag) ([]ecs.Tag, error) {
	if len(in) > maxTags {
		return nil, fault.New(fault.InvalidParameter, "The maximum number of tags is %d.", maxTags)
	}
	seen := make(map[string]bool, len(in))
	for _, t := range in {
		key, value := str(t.Key), str(t.Value)
		switch {
		case key == "":
			return nil, fault.New(fault.InvalidParameter, "Tag key cannot be null or empty.")
		case utf8.RuneCountInString(key) > maxTagKey:
			return nil, fault.New(fault.InvalidParameter, "Tag key must be at most %d characters long.", maxTagKey)
		case utf8.RuneCountInString(value) > maxTagValue:
			return nil, fault.New(fault.InvalidParameter, "Tag value must be at most %d characters long.", maxTagValue)
		case reservedTag(key):
			return nil, fault.New(fault.InvalidParameter, "Tag keys starting with 'aws:' are reserved for AWS use.")
		case !tagText(key) || !tagText(value):
			return nil, fault.New(fault.InvalidParameter, "Tag contains invalid characters: %q.", key)
		case seen[key]:
			return nil, fault.New(fault.InvalidParameter, "Duplicate tag keys found: %q.", key)
		}
		seen[key] = true
	}
	if len(in) == 0 {
		return nil, nil
	}
	return mirror.Slice[ecs.Tag](in), nil
}

// tagText allows letters, digits, spaces and + - = . _ : / @.
func tagText(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("+-=._:/@", r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// wireTags is never nil: where ECS gives tags, it gives the empty list too.
func wireTags(in []ecs.Tag) []types.Tag {
	out := make([]types.Tag, len(in))
	for i := range in {
		// An empty value is a value, so it is not left out.
		out[i] = types.Tag{Key: &in[i].Key, Value: &in[i].Value}
	}
	return out
}

// mergeTags puts changes over what is there, keeping its order.
func mergeTags(old, changes []ecs.Tag) []ecs.Tag {
	out := make([]ecs.Tag, 0, len(old)+len(changes))
	at := make(map[string]int, len(old)+len(changes))
	for _, list := range [2][]ecs.Tag{old, changes} {
		for _, t := range list {
			if i, ok := at[t.Key]; ok {
				out[i] = t
				continue
			}
			at[t.Key] = len(out)
			out = append(out, t)
		}
	}
	return out
}

// own counts the tags that are not AWS's: theirs don't count against the limit.
func own(tags []ecs.Tag) (n int) {
	for _, t := range tags {
		if !reservedTag(t.Key) {
			n++
		}
	}
	return n
}

// reservedTag tells whether a key is one that AWS alone gives and takes away.
func reservedTag(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }

// TagResource adds tags to a cluster, capacity provider, service, daemon, task definition of either kind, container instance or task, and changes those of the same keys.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TagResource.html
func (a *API) TagResource(ctx context.Context, in *sdk.TagResourceInput) (*sdk.TagResourceOutput, error) {
	arn, err := a.taggable(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	add, err := tags(in.Tags)
	if err != nil {
		return nil, err
	}
	if len(add) == 0 {
		return nil, fault.New(fault.InvalidParameter, "Tags can not be empty.")
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		return a.changeTags(tx, arn, func(old []ecs.Tag) ([]ecs.Tag, error) {
			merged := mergeTags(old, add)
			if own(merged) > maxTags {
				return nil, fault.New(fault.InvalidParameter, "The maximum number of tags is %d.", maxTags)
			}
			return merged, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &sdk.TagResourceOutput{}, nil
}

// UntagResource removes tags by key; keys that are not there are no error.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UntagResource.html
func (a *API) UntagResource(ctx context.Context, in *sdk.UntagResourceInput) (*sdk.UntagResourceOutput, error) {
	arn, err := a.taggable(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	if len(in.TagKeys) == 0 {
		return nil, fault.New(fault.InvalidParameter, "TagKeys can not be empty.")
	}
	remove := make(map[string]bool, len(in.TagKeys))
	for _, k := range in.TagKeys {
		if reservedTag(k) {
			return nil, fault.New(fault.InvalidParameter, "Tag keys starting with 'aws:' are reserved for AWS use.")
		}
		remove[k] = true
	}
	err = a.Store.Update(ctx, func(tx *state.Tx) error {
		return a.changeTags(tx, arn, func(old []ecs.Tag) ([]ecs.Tag, error) {
			var kept []ecs.Tag
			for _, t := range old {
				if !remove[t.Key] {
					kept = append(kept, t)
				}
			}
			return kept, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &sdk.UntagResourceOutput{}, nil
}

// ListTagsForResource gives the tags of a resource.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTagsForResource.html
func (a *API) ListTagsForResource(_ context.Context, in *sdk.ListTagsForResourceInput) (*sdk.ListTagsForResourceOutput, error) {
	arn, err := a.taggable(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	r, err := a.tagged(&a.Store.View().Tables, arn)
	if err != nil {
		return nil, err
	}
	return &sdk.ListTagsForResourceOutput{Tags: wireTags(r.tags())}, nil
}

func (a *API) taggable(ref *string) (ecs.ARN, error) {
	if str(ref) == "" {
		return ecs.ARN{}, fault.New(fault.InvalidParameter, "resourceArn should not be null or empty.")
	}
	return a.arn(*ref, "")
}

// taggedResource is the one of its fields that is set.
type taggedResource struct {
	cluster    *ecs.Cluster
	definition *ecs.TaskDefinition
	instance   *ecs.Instance
	task       *ecs.Task
	provider   *ecs.CapacityProvider
	service    *ecs.Service
	daemon     *ecs.Daemon
}

func (r taggedResource) tags() []ecs.Tag {
	switch {
	case r.cluster != nil:
		return r.cluster.Tags
	case r.definition != nil:
		return r.definition.Tags
	case r.instance != nil:
		return r.instance.Tags
	case r.provider != nil:
		return r.provider.Tags
	case r.service != nil:
		return r.service.Tags
	case r.daemon != nil:
		return r.daemon.Tags
	}
	return r.task.Tags
}

func (a *API) tagged(t *state.Tables, arn ecs.ARN) (r taggedResource, err error) {
	switch arn.Type {
	case kindCluster:
		r.cluster = t.Clusters.Get(arn.Resource)
		switch {
		case r.cluster == nil:
			return r, errNoCluster
		case r.cluster.Status != ecs.ClusterActive:
			return r, fault.New(fault.InvalidParameter, "The specified cluster is inactive. Specify an active cluster and try again.")
		}
		return r, nil
	case kindDefinition, kindDaemonDefinition:
		id, err := ecs.ParseDefinitionID(arn.Resource)
		id.Daemon = arn.Type == kindDaemonDefinition
		if err == nil && id.Revision > 0 {
			r.definition = t.Definitions.Get(id)
		}
	case kindInstance:
		if id, err := ecs.ParseInstanceID(arn.Resource); err == nil {
			r.instance = t.Instances.Get(id)
		}
	case kindTask:
		if id, err := ecs.ParseTaskID(arn.Resource); err == nil {
			r.task = t.Tasks.Get(id)
		}
	case kindProvider:
		if ecs.IsFargateProvider(arn.Resource) {
			return r, fault.New(fault.InvalidParameter, "The %s capacity provider is reserved and cannot be tagged.", arn.Resource)
		}
		r.provider = t.CapacityProviders.Get(arn.Resource)
	case kindService:
		if s := t.Services.Get(arn.Cluster + "/" + arn.Resource); s != nil && s.Status != ecs.ServiceInactive {
			r.service = s
		}
	case kindDaemon:
		r.daemon = t.Daemons.Get(arn.Cluster + "/" + arn.Resource)
	default:
		return r, fault.New(fault.InvalidParameter, "Resources of the type %s cannot be tagged.", arn.Type)
	}
	found := r.definition != nil || r.provider != nil || r.service != nil || r.daemon != nil ||
		r.instance != nil && (arn.Cluster == "" || arn.Cluster == r.instance.Cluster) ||
		r.task != nil && (arn.Cluster == "" || arn.Cluster == r.task.Cluster)
	if !found {
		return r, fault.New(fault.ResourceNotFound, "The specified resource was not found.")
	}
	return r, nil
}

func (a *API) changeTags(tx *state.Tx, arn ecs.ARN, change func([]ecs.Tag) ([]ecs.Tag, error)) error {
	r, err := a.tagged(&tx.Tables, arn)
	if err != nil {
		return err
	}
	changed, err := change(r.tags())
	if err != nil {
		return err
	}
	switch {
	case r.cluster != nil:
		c := *r.cluster
		c.Tags = changed
		tx.Clusters.Put(&c)
	case r.definition != nil:
		d := *r.definition
		d.Tags = changed
		tx.Definitions.Put(&d)
	case r.instance != nil:
		i := *r.instance
		i.Tags = changed
		tx.Instances.Put(&i)
	case r.task != nil:
		t := *r.task
		t.Tags = changed
		tx.Tasks.Put(&t)
	case r.provider != nil:
		p := *r.provider
		p.Tags = changed
		tx.CapacityProviders.Put(&p)
	case r.service != nil:
		s := *r.service
		s.Tags = changed
		tx.Services.Put(&s)
	case r.daemon != nil:
		d := *r.daemon
		d.Tags = changed
		tx.Daemons.Put(&d)
	}
	return nil
}
