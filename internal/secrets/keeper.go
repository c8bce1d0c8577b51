// Package secrets keeps secrets and parameters: what is known of them, and their values, which are encrypted wherever they are
// stored.
package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrKey is wrapped where a value cannot be opened: its key is not in the key file, or the value is not what was sealed.
var ErrKey = errors.New("the value cannot be decrypted with the keys of this server; start it with the key file that it was stored with")

const keyBytes = 32

// Sealed is an encrypted value: encrypted with a data key of its own, which is encrypted with one of the keeper's keys. Both are
// AES-256-GCM with a random nonce before them (NIST SP 800-38D), and bound to what the value is of.
type Sealed struct {
	Key   string `cbor:"1,keyasint"`
	Data  []byte `cbor:"2,keyasint"`
	Value []byte `cbor:"3,keyasint"`
}

// Keeper seals and opens values. It does not change after it was made, and may be used by many goroutines.
type Keeper struct {
	current string
	keys    map[string]cipher.AEAD
}

type keyFile struct {
	// Current names the key that new values are sealed with; older ones open what they sealed.
	Current string            `json:"current"`
	Keys    map[string][]byte `json:"keys"`
}

// Open reads the keys from a file, or makes one and writes it with mode 0600 if there is none.
func Open(path string) (*Keeper, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = json.MarshalIndent(fresh(), "", "  "); err == nil {
			err = write(path, b)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of the secrets: %w", err)
	}
	var f keyFile
	if err := json.Unmarshal(b, &f); err != nil {
		// Not the error's text: it may quote the file.
		return nil, fmt.Errorf("key of the secrets: %s is damaged; restore it from a backup", path)
	}
	k, err := newKeeper(&f)
	if err != nil {
		return nil, fmt.Errorf("key of the secrets: %s: %w", path, err)
	}
	return k, nil
}

// New makes a keeper with a key that is kept nowhere.
func New() *Keeper {
	k, err := newKeeper(fresh())
	if err != nil {
		panic(err) // a fresh key is a good one
	}
	return k
}

func fresh() *keyFile {
	id := rand.Text()
	return &keyFile{Current: id, Keys: map[string][]byte{id: random(keyBytes)}}
}

func newKeeper(f *keyFile) (*Keeper, error) {
	k := &Keeper{current: f.Current, keys: map[string]cipher.AEAD{}}
	for id, key := range f.Keys {
		if len(key) != keyBytes {
			return nil, fmt.Errorf("key %s has not %d bytes", id, keyBytes)
		}
		k.keys[id] = aead(key)
	}
	if k.keys[k.current] == nil {
		return nil, errors.New("the current key is not there")
	}
	return k, nil
}

// aead panics for a key of another length than keyBytes.
func aead(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// write leaves the whole file or none after a crash.
func write(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Has tells whether the keeper has the key that a value was sealed with.
func (k *Keeper) Has(s Sealed) bool { return k.keys[s.Key] != nil }

// Seal encrypts a value. of says what it is of, and must be said again to open it, so that a value cannot be put in another's place.
func (k *Keeper) Seal(of string, value []byte) Sealed {
	data := random(keyBytes)
	return Sealed{
		Key:   k.current,
		Data:  k.keys[k.current].Seal(nil, nil, data, []byte(of)),
		Value: aead(data).Seal(nil, nil, value, []byte(of)),
	}
}

// Open decrypts what Seal made. Its error wraps ErrKey.
func (k *Keeper) Open(of string, s Sealed) ([]byte, error) {
	key := k.keys[s.Key]
	if key == nil {
		return nil, fmt.Errorf("%s: %w", of, ErrKey)
	}
	data, err := key.Open(nil, nil, s.Data, []byte(of))
	if err != nil || len(data) != keyBytes {
		return nil, fmt.Errorf("%s: %w", of, ErrKey)
	}
	value, err := aead(data).Open(nil, nil, s.Value, []byte(of))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", of, ErrKey)
	}
	return value, nil
}
