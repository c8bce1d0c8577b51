package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"roadstead.dev/roadstead/internal/state/etcdkv"
)

// measureEtcd writes values of 600 bytes into an etcd as servers embed it, in transactions of 500 one after another: what a store of
// tasks can come to at most.
func measureEtcd(ctx context.Context, r *run) (err error) {
	const size, values = 600, 500
	dir := filepath.Join(r.dir, "etcd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	kv, err := etcdkv.Embedded(ctx, etcdkv.EmbeddedConfig{Common: etcdkv.Common{Name: "bench", Log: r.Log}, Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kv.Close(), os.RemoveAll(dir)) }()
	value := make([]byte, size)
	if _, err := rand.Read(value); err != nil {
		return err
	}
	var rates []float64
	n := 0
	for range r.Rounds {
		begin := time.Now()
		for range r.scaled(100) {
			ops := make([]clientv3.Op, values)
			for i := range ops {
				n++
				ops[i] = clientv3.OpPut(fmt.Sprintf("bench/%032x", n), string(value))
			}
			if _, err := kv.Client().Txn(ctx).Then(ops...).Commit(); err != nil {
				return err
			}
		}
		rates = append(rates, float64(r.scaled(100)*values)/time.Since(begin).Seconds())
	}
	r.figure(Figure{With: "a bare embedded etcd in this process, 600 bytes, 500 a transaction, one after another", Value: median(rates), Unit: "values/s"})
	return nil
}

// write makes a file of what writes itself.
func write(file string, content io.WriterTo) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = content.WriteTo(f)
	return errors.Join(err, f.Close())
}
