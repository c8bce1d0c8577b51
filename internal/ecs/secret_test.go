package ecs

import "testing"

func TestParseSecretReference(t *testing.T) {
	const secret, parameter = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-AbCdEf", "arn:aws:ssm:eu-west-1:000000000000:parameter/web/db"
	for in, want := range map[string]SecretReference{
		"db":                    {Parameter: true, ID: "db"},
		"/web/db":               {Parameter: true, ID: "/web/db"},
		parameter:               {Parameter: true, ID: parameter, Region: "eu-west-1"},
		parameter + ":3":        {Parameter: true, ID: parameter + ":3", Region: "eu-west-1"},
		secret:                  {ID: secret, Region: "eu-west-1"},
		secret + ":user::":      {ID: secret, Region: "eu-west-1", JSONKey: "user"},
		secret + "::STAGE:":     {ID: secret, Region: "eu-west-1", Stage: "STAGE"},
		secret + ":k:s:v":       {ID: secret, Region: "eu-west-1", JSONKey: "k", Stage: "s", Version: "v"},
		"":                      {},
		"arn:":                  {},
		"arn:aws:s3:::bucket":   {},
		secret + ":one":         {},
		secret + ":1:2:3:4":     {},
		"arn:aws:ssm:r:a:thing": {},
	} {
		got, err := ParseSecretReference(in)
		if got != want || (err != nil) != (want == SecretReference{}) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

func TestSecretReferences(t *testing.T) {
	d := &TaskDefinition{ContainerDefinitions: []ContainerDefinition{
		{Secrets: []Secret{{Name: "A", ValueFrom: "a"}, {Name: "B", ValueFrom: "arn:"}}},
		{LogConfiguration: &LogConfiguration{SecretOptions: []Secret{{Name: "t", ValueFrom: "t"}}}, RepositoryCredentials: &RepositoryCredentials{CredentialsParameter: "r"}},
	}}
	got := d.SecretReferences()
	if len(got) != 3 || got[0].ID != "a" || got[1].ID != "t" || got[2].ID != "r" || got[2].Parameter {
		t.Errorf("%+v", got)
	}
}
