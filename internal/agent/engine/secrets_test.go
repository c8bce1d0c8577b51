package engine

import (
	"slices"
	"testing"
)

func TestWithEnv(t *testing.T) {
	image := []string{"PATH=/bin", "PASSWORD=default", "PASS=1", "EMPTY="}
	got := withEnv(image, []string{"PASSWORD=a=b", "EMPTY=full"})
	if want := []string{"PATH=/bin", "PASS=1", "PASSWORD=a=b", "EMPTY=full"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if image[1] != "PASSWORD=default" {
		t.Error("the list given was changed")
	}
}

func TestMember(t *testing.T) {
	const object = `{"user":"me","port":5432,"none":null,"list":[1]}`
	for key, want := range map[string]string{"user": "me", "port": "5432", "list": "[1]"} {
		if got, err := member(object, key); got != want || err != nil {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	for _, c := range [][2]string{{object, "nobody"}, {"hush", "x"}, {`["hush"]`, "x"}} {
		if got, err := member(c[0], c[1]); err == nil || slices.Contains([]string{"hush"}, err.Error()) {
			t.Errorf("%v: %q, %v", c, got, err)
		}
	}
}
