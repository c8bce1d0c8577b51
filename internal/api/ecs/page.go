package ecsapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"iter"

	"roadstead.dev/roadstead/internal/fault"
)

// maxPage is ECS's largest and default page.
const maxPage = 100

// pageToken is what a nextToken holds. Clients take it as it is.
type pageToken struct {
	// Query binds a token to the operation and its filters.
	Query string `json:"q"`
	// After is the last item that was given.
	After string `json:"a"`
}

// pager gives one page of a list whose items come in a fixed order and are named by unique strings.
type pager struct {
	limit int
	query string
	after string
}

// newPager reads maxResults and nextToken. query names the operation and everything that its result depends on.
func newPager(maxResults *int32, nextToken *string, query ...string) (*pager, error) {
	return newPagerOf(maxPage, maxResults, nextToken, query...)
}

// newPagerOf is newPager for a list with another largest page, which is the default too.
func newPagerOf(largest int32, maxResults *int32, nextToken *string, query ...string) (*pager, error) {
	p := &pager{limit: int(largest)}
	if maxResults != nil {
		if *maxResults < 1 || *maxResults > largest {
			return nil, fault.New(fault.InvalidParameter, "maxResults must be between 1 and %d.", largest)
		}
		p.limit = int(*maxResults)
	}
	h := sha256.New()
	for _, q := range query {
		h.Write([]byte(q))
		h.Write([]byte{0})
	}
	p.query = hex.EncodeToString(h.Sum(nil)[:8])
	if str(nextToken) == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(*nextToken)
	var t pageToken
	if err != nil || json.Unmarshal(raw, &t) != nil || t.Query != p.query || t.After == "" {
		return nil, fault.New(fault.InvalidParameter, "Invalid token.")
	}
	p.after = t.After
	return p, nil
}

// page takes the items after the token's, in the order given by less; name gives an item's text. It returns the token of
// the next page, nil on the last one.
func page[T any](p *pager, items iter.Seq[T], name func(T) string, behind func(item T, after string) bool) ([]T, *string) {
	out := []T{}
	for item := range items {
		if p.after != "" && !behind(item, p.after) {
			continue
		}
		if len(out) == p.limit {
			raw, _ := json.Marshal(pageToken{Query: p.query, After: name(out[len(out)-1])}) // A struct of two strings always encodes.
			token := base64.RawURLEncoding.EncodeToString(raw)
			return out, &token
		}
		out = append(out, item)
	}
	return out, nil
}
