package secretsmanager

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"roadstead.dev/roadstead/internal/fault"
)

// The characters of passwords.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html
const (
	lower       = "abcdefghijklmnopqrstuvwxyz"
	upper       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits      = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

	usualLength   = 32
	longestLength = 4096
)

// GetRandomPassword makes a password, of at least one character of each kind unless that is not asked for.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html
func (a *API) GetRandomPassword(_ context.Context, in *sdk.GetRandomPasswordInput) (*sdk.GetRandomPasswordOutput, error) {
	var kinds []string
	for _, k := range []struct {
		characters string
		exclude    bool
	}{
		{lower, aws.ToBool(in.ExcludeLowercase)}, {upper, aws.ToBool(in.ExcludeUppercase)}, {digits, aws.ToBool(in.ExcludeNumbers)},
		{punctuation, aws.ToBool(in.ExcludePunctuation)}, {" ", !aws.ToBool(in.IncludeSpace)},
	} {
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune(aws.ToString(in.ExcludeCharacters), r) {
				return -1
			}
			return r
		}, k.characters)
		if !k.exclude && left != "" {
			kinds = append(kinds, left)
		}
	}
	length := int64(usualLength)
	if in.PasswordLength != nil {
		length = *in.PasswordLength
	}
	each := in.RequireEachIncludedType == nil || *in.RequireEachIncludedType
	switch {
	case length < 1 || length > longestLength:
		return nil, fault.New(fault.InvalidParameter, "PasswordLength must be between 1 and %d.", longestLength)
	case len(kinds) == 0:
		return nil, fault.New(fault.InvalidParameter, "No characters are left to make a password of.")
	case each && length < int64(len(kinds)):
		return nil, fault.New(fault.InvalidParameter, "Password length %d is too short based on the required types.", length)
	}
	out := make([]byte, 0, length)
	if each {
		for _, k := range kinds {
			out = append(out, k[below(len(k))])
		}
	}
	all := strings.Join(kinds, "")
	for int64(len(out)) < length {
		out = append(out, all[below(len(all))])
	}
	for i := len(out) - 1; i > 0; i-- {
		j := below(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return &sdk.GetRandomPasswordOutput{RandomPassword: aws.String(string(out))}, nil
}

// below gives a random number from 0 to n-1, each with the same probability.
func below(n int) int {
	b, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return int(b.Int64())
}
