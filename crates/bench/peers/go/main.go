// A peer of the service: the same two methods over the same schema, written by hand for speed. It does less than the
// service: there are no policies, no permissions, no metrics.
//
// Everything that an answer shows comes by one join, unless PEER_REFERENCE is "remembered": then reference data is read once
// at the start, and never looked at again.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"log"
	"net"
	"os"
	"strings"

	_ "github.com/lib/pq"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

const organisation = 1

type server struct {
	pb.UnimplementedAccessTokenServiceServer
	show    *sql.Stmt
	owners  *sql.Stmt
	insert  *sql.Stmt
	numbers *numbers
	key     []byte
	// Nothing for who joins.
	remembered *remembered
}

// A session is what it says and a MAC of that.
func (s *server) check(ctx context.Context) error {
	found, _ := metadata.FromIncomingContext(ctx)
	values := found.Get("authorization")
	if len(values) != 1 || !strings.HasPrefix(values[0], "Bearer ") {
		return status.Error(codes.Unauthenticated, "no session")
	}
	payload, tag, _ := strings.Cut(values[0][len("Bearer "):], ".")
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(payload))
	presented, err := hex.DecodeString(tag)
	if err != nil || !hmac.Equal(presented, mac.Sum(nil)) {
		return status.Error(codes.Unauthenticated, "not a session")
	}
	return nil
}

func (s *server) ShowAccessToken(ctx context.Context, request *pb.ShowAccessTokenRequest) (*pb.AccessToken, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	code := request.GetAccessTokenIdentifier().GetAuthenticationCode()
	return s.token(s.show.QueryRowContext(ctx, organisation, code))
}

func prepare(database *sql.DB, text string) *sql.Stmt {
	statement, err := database.Prepare(text)
	if err != nil {
		log.Fatal(err)
	}
	return statement
}

func main() {
	database, err := sql.Open("postgres", os.Getenv("PEER_DATABASE"))
	if err != nil {
		log.Fatal(err)
	}
	database.SetMaxOpenConns(8)
	database.SetMaxIdleConns(8)
	s := &server{
		insert:  prepare(database, insertStatement),
		numbers: &numbers{take: prepare(database, takeStatement)},
		key:     []byte(os.Getenv("PEER_KEY")),
	}
	if os.Getenv("PEER_REFERENCE") == "remembered" {
		s.remembered = remember(database)
		s.show, s.owners = prepare(database, rememberedStatement()), prepare(database, ownersStatement)
	} else {
		s.show, s.owners = prepare(database, joinedStatement()), prepare(database, classifiedStatement)
	}
	listener, err := net.Listen("tcp", os.Getenv("PEER_LISTEN"))
	if err != nil {
		log.Fatal(err)
	}
	peer := grpc.NewServer()
	pb.RegisterAccessTokenServiceServer(peer, s)
	log.Fatal(peer.Serve(listener))
}
