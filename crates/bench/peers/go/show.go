package main

import (
	"database/sql"
	"encoding/json"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

// The token, its account with contact information, its participant. That the participant belongs to the same account, as
// it nearly always does, is taken for granted.
const showStatement = `
SELECT t.id, t.number, t.life_cycle_state, t.authentication_code, t.identifier, t.card_masked_number, t.verified_date,
  t.verified_by_user, t.udf_string_1, t.udf_string_2, t.udf_string_3, t.udf_string_4, t.udf_string_5, t.udf_string_6,
  t.udf_string_7, t.udf_string_8, t.udf_float_1, t.udf_float_2, t.udf_float_3, t.udf_float_4, t.udf_date_1, t.udf_date_2,
  t.udf_date_3, t.udf_date_4, t.classification, t.created_date, t.created_by_user, t.created_by_unit,
  t.created_by_business_unit, t.updated_date, t.updated_by_user, t.updated_by_unit, t.updated_by_business_unit,
  a.id, a.number, a.name, a.life_cycle_state,
  c.id, c.contact_type, c.life_cycle_state, c.name, c.first_name, c.middle_name, c.last_name, c.title, c.company_name,
  c.demographics,
  p.id, p.number, p.life_cycle_state
FROM access_token t
LEFT JOIN accounts_receivable a ON a.organisation_key = t.organisation_key AND a.id = t.accounts_receivable
LEFT JOIN contact_information c ON c.organisation_key = a.organisation_key AND c.id = a.account_owner
LEFT JOIN rewards_participant p ON p.organisation_key = t.organisation_key AND p.id = t.rewards_participant
WHERE t.organisation_key = $1 AND t.authentication_code = $2`

type demographics struct {
	Gender           string  `json:"gender"`
	IdNumber         *string `json:"id_number"`
	Residence        *string `json:"country_of_residence"`
	PassportIssuedBy *string `json:"passport_issued_by_country"`
	IdIssuedBy       *string `json:"id_issued_by_country"`
	Industry         *string `json:"industry"`
	NameDay          *struct {
		Month *int32 `json:"month"`
		Day   *int32 `json:"day"`
	} `json:"name_day"`
	DateOfBirth *struct {
		Month *int32 `json:"month"`
		Day   *int32 `json:"day"`
		Year  *int32 `json:"year"`
	} `json:"date_of_birth"`
}

func (s *server) token(row *sql.Row) (*pb.AccessToken, error) {
	var (
		t                                                pb.AccessToken
		a                                                pb.AccountsReceivable
		c                                                pb.ContactInformation
		p                                                pb.RewardsParticipant
		state                                            string
		verified, date1, date2, date3, date4             *int64
		created, updated                                 int64
		verifiedBy, classification                       *string
		createdBy, createdUnit, createdBusiness          *string
		updatedBy, updatedUnit, updatedBusiness          *string
		account, accountState, contact, kind, ownerState *string
		participant, participantState                    *string
		document                                         []byte
	)
	err := row.Scan(&t.Id, &t.Number, &state, &t.AuthenticationCode, &t.Identifier, &t.CardMaskedNumber, &verified,
		&verifiedBy, &t.UdfString_1, &t.UdfString_2, &t.UdfString_3, &t.UdfString_4, &t.UdfString_5, &t.UdfString_6,
		&t.UdfString_7, &t.UdfString_8, &t.UdfFloat_1, &t.UdfFloat_2, &t.UdfFloat_3, &t.UdfFloat_4, &date1, &date2,
		&date3, &date4, &classification, &created, &createdBy, &createdUnit, &createdBusiness, &updated, &updatedBy,
		&updatedUnit, &updatedBusiness,
		&account, &a.Number, &a.Name, &accountState,
		&contact, &kind, &ownerState, &c.Name, &c.FirstName, &c.MiddleName, &c.LastName, &c.Title, &c.CompanyName,
		&document,
		&participant, &p.Number, &participantState)
	if err == sql.ErrNoRows {
		return nil, status.Error(codes.NotFound, "no such access token")
	}
	if err != nil {
		return nil, status.Error(codes.Internal, "the database")
	}
	t.LifeCycleState = pb.AccessToken_LifeCycleState(pb.AccessToken_LifeCycleState_value[state])
	if t.CardMaskedNumber != nil && len(*t.CardMaskedNumber) >= 4 {
		last := (*t.CardMaskedNumber)[len(*t.CardMaskedNumber)-4:]
		t.CardLast_4Digits = &last
	}
	t.VerifiedDate, t.VerifiedByUser = moment(verified), s.reference.user(verifiedBy)
	t.UdfDate_1, t.UdfDate_2, t.UdfDate_3, t.UdfDate_4 = moment(date1), moment(date2), moment(date3), moment(date4)
	t.Classification = s.reference.classification(classification)
	t.LogInformation = &pb.LogInformation{
		CreatedDate: moment(&created), CreatedByUser: s.reference.user(createdBy),
		CreatedByUnit: s.reference.unit(createdUnit), CreatedByBusinessUnit: s.reference.businessUnit(createdBusiness),
		UpdatedDate: moment(&updated), UpdatedByUser: s.reference.user(updatedBy),
		UpdatedByUnit: s.reference.unit(updatedUnit), UpdatedByBusinessUnit: s.reference.businessUnit(updatedBusiness),
	}
	if account != nil {
		a.Id = *account
		a.LifeCycleState = pb.AccountsReceivable_LifeCycleState(
			pb.AccountsReceivable_LifeCycleState_value[*accountState])
		if contact != nil {
			a.AccountOwner = &c
			if err := s.contact(&c, *contact, kind, ownerState, document); err != nil {
				return nil, err
			}
		}
		t.AccountsReceivable = &a
	}
	if participant != nil {
		p.Id = *participant
		if participantState != nil {
			p.LifeCycleState = pb.RewardsParticipant_LifeCycleState(
				pb.RewardsParticipant_LifeCycleState_value[*participantState])
		}
		p.AccountsReceivable = t.AccountsReceivable
		t.RewardsParticipant = &p
	}
	return &t, nil
}

func (s *server) contact(c *pb.ContactInformation, id string, kind, state *string, document []byte) error {
	c.Id = id
	if kind != nil {
		c.Type = pb.ContactInformation_Type(pb.ContactInformation_Type_value[*kind])
	}
	if state != nil {
		c.LifeCycleState = pb.ContactInformation_LifeCycleState(pb.ContactInformation_LifeCycleState_value[*state])
	}
	if document == nil {
		return nil
	}
	var read demographics
	if err := json.Unmarshal(document, &read); err != nil {
		return status.Error(codes.Internal, "a document")
	}
	d := &pb.Demographics{
		IdNumber:                read.IdNumber,
		CountryOfResidence:      s.reference.country(read.Residence),
		PassportIssuedByCountry: s.reference.country(read.PassportIssuedBy),
		IdIssuedByCountry:       s.reference.country(read.IdIssuedBy),
		Industry:                s.reference.industry(read.Industry),
	}
	if gender, known := pb.Demographics_Gender_value[read.Gender]; known {
		d.Gender = pb.Demographics_Gender(gender).Enum()
	}
	if day := read.NameDay; day != nil {
		d.NameDay = &pb.NameDay{Month: day.Month, Day: day.Day}
	}
	if day := read.DateOfBirth; day != nil {
		d.DateOfBirth = &pb.DateOfBirth{Month: day.Month, Day: day.Day, Year: day.Year}
	}
	c.Demographics = d
	return nil
}

func moment(micros *int64) *timestamppb.Timestamp {
	if micros == nil {
		return nil
	}
	return timestamppb.New(time.UnixMicro(*micros))
}
