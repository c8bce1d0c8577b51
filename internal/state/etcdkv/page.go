package etcdkv

import (
	"context"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state"
)

// ahead is what is to be read after a page that ended with a key: keys from first on and before end.
type ahead struct{ after, first, end string }

// Page implements state.Term. etcd counts all keys of a range, however few it is to give, so that pages of one range cost the more the
// more there is behind them: each is asked for with an end that is about a page away.
func (t *term) Page(ctx context.Context, after string, limit int) ([]state.Entry, error) {
	whole := clientv3.GetPrefixRangeEnd(t.kv.cfg.Prefix)
	at := ahead{after, t.kv.cfg.Prefix, whole}
	switch {
	case after == t.ahead.after && after != "":
		at = t.ahead
	case after != "":
		at.first = t.kv.key(after) + "\x00"
	}
	for {
		resp, err := t.kv.client.Get(ctx, at.first, clientv3.WithRange(at.end), clientv3.WithLimit(int64(limit)))
		if err != nil {
			return nil, t.kv.explain(err)
		}
		n, ended := len(resp.Kvs), false
		switch {
		case resp.More:
			last := string(resp.Kvs[n-1].Key)
			at.first, at.end = last+"\x00", nearEnd(string(resp.Kvs[0].Key), last, whole)
		case at.end == whole:
			ended = true
		case n == 0: // there is nothing near
			at.first, at.end = at.end, nextEnd(at.end[:len(at.end)-1], whole)
		default:
			at.first, at.end = at.end, nextEnd(at.end, whole)
		}
		page := make([]state.Entry, 0, n)
		for _, e := range resp.Kvs {
			if key := strings.TrimPrefix(string(e.Key), t.kv.cfg.Prefix); !strings.HasPrefix(key, metaPrefix) {
				page = append(page, state.Entry{Key: key, Value: e.Value})
			}
		}
		if len(page) > 0 {
			at.after = page[len(page)-1].Key
			if t.ahead = at; ended {
				t.ahead.first = whole // an empty range
			}
			return page, nil
		}
		if ended {
			return nil, nil
		}
	}
}

// nearEnd is an end behind last, about as far as last is from first: the first key that differs from last where
// last differs from first.
func nearEnd(first, last, whole string) string {
	n := 0
	for n < len(first) && first[n] == last[n] {
		n++
	}
	if n == len(last) { // a page of one key
		return whole
	}
	return nextEnd(last[:n+1], whole)
}

// nextEnd is the first key that does not begin with another, if that is before the whole's end.
func nextEnd(key, whole string) string { return min(clientv3.GetPrefixRangeEnd(key), whole) }
