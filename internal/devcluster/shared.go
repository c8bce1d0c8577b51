package devcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// sharedFile is a file of keys that all servers on one state have alike, so that any of them can answer whom another one has
// admitted. The state has it, encrypted with the key of the secrets, which alone is the owner's to bring to a server.
type sharedFile struct {
	name, path string
}

func (d DataDir) shared() []sharedFile {
	return []sharedFile{{"keys", d.Keys()}, {"certificate-authority", d.TLS() + "/ca-key.pem"}}
}

// takeOver brings the files into the data directory that the state has and it lacks. It refuses those that differ: either the
// directory or the state is another installation's.
func takeOver(dir DataDir, keys *state.Records[secrets.SystemKey], keeper *secrets.Keeper) error {
	for _, f := range dir.shared() {
		stored := keys.Get(f.name)
		if stored == nil {
			continue
		}
		want, err := keeper.Open(stored.Of(), stored.Value)
		if err != nil {
			return fmt.Errorf("the installation's keys: %w", err)
		}
		found, err := os.ReadFile(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := writeKey(f.path, want); err != nil {
				return fmt.Errorf("the installation's keys: %w", err)
			}
		case err != nil:
			return fmt.Errorf("the installation's keys: %w", err)
		case !bytes.Equal(found, want):
			return fmt.Errorf("%s is not what the state has: the data directory or the state is another installation's; "+
				"move the file away to go on with that of the state", f.path)
		}
	}
	return nil
}

// share is the part that puts what the state lacks into it, once.
func share(dir DataDir, store *state.Store, keeper *secrets.Keeper) part {
	return part{"installation's keys", func(ctx context.Context) error {
		have := map[string][]byte{}
		for _, f := range dir.shared() {
			b, err := os.ReadFile(f.path)
			if err != nil {
				return err
			}
			have[f.name] = b
		}
		err := store.Update(ctx, func(tx *state.Tx) error {
			for name, b := range have {
				old := tx.SystemKeys.Get(name)
				if old == nil {
					k := &secrets.SystemKey{Name: name}
					k.Value = keeper.Seal(k.Of(), b)
					tx.SystemKeys.Put(k)
					continue
				}
				if now, err := keeper.Open(old.Of(), old.Value); err != nil || !bytes.Equal(now, b) {
					return errors.Join(fmt.Errorf("%s: the state got another one meanwhile; start this server again", name), err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}}
}

// writeKey leaves the whole file, for its owner alone, or none after a crash.
func writeKey(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
